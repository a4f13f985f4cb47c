"""A cache key's owner decides its node, whatever the owner is called."""

from itertools import product

from redis.crc import key_slot

from core.cache_keys import cache_key, owner_of, tag_of

STRANGE = ["", "u12", "{", "}", "{}", "a}", "{a}", "a", "%", "%7B", "%257B", "a}:event:b", "é", "a:b", "\x00"]


def test_an_ordinary_owner_is_readable():
    assert cache_key("u12", "session") == "{u12}:session"


def test_keys_of_one_owner_share_a_slot():
    for owner in STRANGE:
        assert len({key_slot(cache_key(owner, what).encode()) for what in ("x", "}", "{y}", "")}) == 1


def test_no_two_owners_share_a_key():
    keys = [cache_key(owner, what) for owner, what in product(STRANGE, ["", "x", ":x", "event:b}:event:c", "}:x"])]
    assert len(set(keys)) == len(keys)


def test_the_owner_comes_back_from_its_tag():
    assert [owner_of(tag_of(owner)) for owner in STRANGE] == STRANGE
