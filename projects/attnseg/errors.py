"""The errors that say what was given wrong, wherever it is noticed."""


class InputError(ValueError):
    """A config, a file or an option does not fit; the message names it and the fix.

    The tools show it as one line, also from the midst of a training, where other errors are the
    program's and keep their traceback.
    """


class SampleError(RuntimeError):
    """A transform failed at an image; the message names the image and has the transform's error."""
