"""Keys of caches: "{owner}:what"; on a cluster the part in braces, escaped, decides the node."""

_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


def cache_key(owner: str, what: str) -> str:
    """A key that shares its node with every other key of the owner and equals none of another owner."""
    return f"{{{tag_of(owner)}}}:{what}"


def tag_of(owner: str) -> str:
    """The owner as it stands in braces: without braces, never empty, another for every other owner."""
    return owner.translate(_ESCAPES) or "%"


def owner_of(tag: str) -> str:
    """The owner whose tag it is."""
    return "" if tag == "%" else tag.replace("%7D", "}").replace("%7B", "{").replace("%25", "%")
