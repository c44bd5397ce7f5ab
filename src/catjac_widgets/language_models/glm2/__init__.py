"""gLM2: a masked language model of genomes, in which elements of amino acids and nucleotides are mixed."""
