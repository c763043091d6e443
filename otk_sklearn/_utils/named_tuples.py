"""Named tuples that have arrays among their items."""


def compared_by_identity(named_tuple):
    """Class decorator: a tuple equals nothing but itself, as with `dataclass(eq=False)`.

    Tuples compare and hash their items: arrays have no single truth value, and no hash.
    """
    named_tuple.__eq__ = lambda self, other: self is other
    named_tuple.__ne__ = lambda self, other: self is not other
    named_tuple.__hash__ = object.__hash__
    return named_tuple
