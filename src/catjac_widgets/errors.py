"""Every error that catjac raises on purpose: one sentence, what is wrong and what to do.

All of them derive from `CatjacError`, so that a widget, a magic or the command line can show the
sentence alone and let anything else, which is our own mistake, through with its traceback.
"""

from __future__ import annotations


class CatjacError(Exception):
    """Base of all errors that a user can act on."""


class SequenceError(CatjacError, ValueError):
    """A sequence, a FASTA text or a residue number that cannot be used."""


class MaskError(CatjacError, ValueError):
    """A mask or a fragment that does not fit its sequence."""


class ModelError(CatjacError):
    """A language model that cannot do what was asked of it."""


class ModelNotFoundError(ModelError, LookupError):
    """A model name that nobody knows; the nearest names are suggested."""


class CheckpointError(ModelError, OSError):
    """A checkpoint that is missing, truncated, unsafe or of another format."""


class DeviceError(ModelError, RuntimeError):
    """A device that is absent, lost or out of memory at the smallest batch."""


class ResourceError(CatjacError, MemoryError):
    """A request that needs more memory, time or disk than is sensible; says how much."""


class CacheError(CatjacError, OSError):
    """A cache folder or an entry that cannot be read, written or trusted."""


class JacobianError(CatjacError, ValueError):
    """A labelled array that is not (or no longer) what an analysis needs."""


class StructureError(CatjacError, ValueError):
    """A structure that cannot be found, read or mapped to the sequence."""


class UsageError(CatjacError, ValueError):
    """An argument of a magic, a command or a function that is none of the allowed ones."""


class OptionError(UsageError, TypeError):
    """An option (a keyword) that a function, a view or a file format does not have."""


class DependencyError(CatjacError, ImportError):
    """A package that is missing or of the wrong kind; says which command fixes it."""


class WorkError(CatjacError, RuntimeError):
    """Work in the background that was ended by an exit or an interrupt which nobody meant for it."""


class Cancelled(CatjacError):
    """The work was stopped by a person; what was computed is kept."""
