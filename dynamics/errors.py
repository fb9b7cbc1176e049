"""What can go wrong in a way that the user can mend."""


class DynamicsError(Exception):
    """Something the user can mend: the text says what was found, what was expected and what to do next."""


class DataError(DynamicsError):
    """The data set is not what the step needs."""


class TimeError(DataError):
    """The time column cannot be read as times."""


class FileError(DataError):
    """The file cannot be opened, is not an h5ad, or is not safe to open."""


class CouplingError(DynamicsError):
    """Two snapshots could not be coupled."""


class IntegrationError(DynamicsError):
    """A trajectory could not be computed."""


class SettingsError(DynamicsError):
    """A setting is unknown or out of range."""


class TrainingError(DynamicsError):
    """Training did not give a usable model."""


class ModelError(DynamicsError):
    """A saved model cannot be read, or does not fit the data set."""


class JobError(DynamicsError):
    """A job failed, or the job service cannot be reached."""


class Stopped(Exception):
    """The user stopped the work; raised where `progress` returned False."""
