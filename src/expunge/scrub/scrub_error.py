"""Why a scrub could not be carried out; the message becomes the reason of a refused request."""


class ScrubError(ArithmeticError):
    """Nothing was selected, or a number is not finite. The network has not been changed."""
