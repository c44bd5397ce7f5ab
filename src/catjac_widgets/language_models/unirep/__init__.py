"""UniRep: multiplicative LSTMs that read proteins from left to right (Alley et al. 2019)."""
