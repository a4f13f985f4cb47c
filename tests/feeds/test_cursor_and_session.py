"""Cursors that were tampered with are refused; sessions follow from the slates that were recorded."""

import base64

import pytest

from core.errors import CursorError
from core.slate import Slate
from feeds.cursor import Cursor, CursorSigner
from feeds.session import current

NOW_MS = 1_700_000_000_000
IDLE_MS, NEVER_AGAIN_MS = 1_800_000, 3_600_000
CURSOR = Cursor("ann", "s1", 3, NOW_MS + 1_000)
SIGNER = CursorSigner(b"k" * 32)


def test_a_cursor_is_read_back_by_its_viewer():
    text = SIGNER.write(CURSOR)
    assert SIGNER.read(text, "ann", NOW_MS) == CURSOR
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_change_of_any_byte_is_noticed():
    raw = base64.urlsafe_b64decode(SIGNER.write(CURSOR) + "==")
    for at in range(len(raw)):
        for flip in (0x01, 0x80):
            changed = raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
            with pytest.raises(CursorError, match="altered"):
                SIGNER.read(base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), "ann", NOW_MS)


@pytest.mark.parametrize("text", ["", "a", "abc", "!!!!", "é", "\x00", "a" * 10_000, "====", "AAAA" * 4, " "])
def test_garbage_is_refused(text):
    with pytest.raises(CursorError):
        SIGNER.read(text, "ann", NOW_MS)


def test_a_cursor_of_another_key_is_refused():
    with pytest.raises(CursorError, match="elsewhere"):
        SIGNER.read(CursorSigner(b"x" * 32).write(CURSOR), "ann", NOW_MS)


def test_a_cursor_of_another_viewer_is_refused():
    with pytest.raises(CursorError, match="another viewer"):
        SIGNER.read(SIGNER.write(CURSOR), "bob", NOW_MS)


def test_a_cursor_lives_up_to_its_last_millisecond():
    assert SIGNER.read(SIGNER.write(CURSOR), "ann", NOW_MS + 1_000) == CURSOR
    with pytest.raises(CursorError, match="expired"):
        SIGNER.read(SIGNER.write(CURSOR), "ann", NOW_MS + 1_001)


def slate(session, page, age_ms, *videos):
    return Slate(
        slate_id=f"{session}{page}", viewer_id="ann", session_id=session, surface="for_you", time_ms=NOW_MS - age_ms,
        page=page, seed=0, video_ids=videos, sources=("fresh",) * len(videos),
    )  # fmt: skip


def session_of(*latest):
    return current(latest, NOW_MS, IDLE_MS, NEVER_AGAIN_MS, "new")


def test_a_viewer_without_slates_starts_at_page_zero():
    session = session_of()
    assert (session.session_id, session.next_page, session.served) == ("new", 0, ())


def test_a_session_goes_on_until_it_was_idle_for_too_long():
    latest = (slate("s", 1, IDLE_MS, "c"), slate("s", 0, IDLE_MS + 5, "a", "b"))
    session = session_of(*latest)
    assert (session.session_id, session.next_page, sorted(session.pages)) == ("s", 2, [0, 1])
    assert session.served == ("c", "a", "b")
    late = current(latest, NOW_MS + 1, IDLE_MS, NEVER_AGAIN_MS, "new")
    assert (late.session_id, late.next_page) == ("new", 0)


def test_videos_of_an_earlier_session_stay_away_for_a_while():
    session = session_of(slate("b", 0, NEVER_AGAIN_MS, "x"), slate("a", 0, NEVER_AGAIN_MS + 1, "y"))
    assert session.session_id == "new" and session.served == ("x",)


def test_videos_of_this_session_stay_away_however_long_it_lasts():
    session = session_of(slate("s", 1, 0, "x"), slate("s", 0, 10 * NEVER_AGAIN_MS, "y"))
    assert session.served == ("x", "y")


def test_the_first_slate_of_a_page_stands():
    session = session_of(slate("s", 0, 1, "new"), slate("s", 0, 2, "old"))
    assert session.pages[0].video_ids == ("old",) and session.served == ("new", "old")


def test_a_cursor_goes_on_with_its_own_session_even_one_that_is_not_the_last():
    latest = (slate("t", 0, 0, "b"), slate("s", 1, 5, "a"))
    session = current(latest, NOW_MS, IDLE_MS, NEVER_AGAIN_MS, "new", continued="s")
    assert (session.session_id, session.next_page, session.served) == ("s", 2, ("b", "a"))


def test_no_page_and_a_page_beyond_the_session_are_its_next_page():
    session = session_of(slate("s", 1, 0, "b"), slate("s", 0, 0, "a"))
    assert [session.numbered(page) for page in (None, 0, 1, 2, 9)] == [2, 0, 1, 2, 2]


def test_a_seed_belongs_to_its_session_and_page():
    session, other = session_of(slate("s", 0, 0)), session_of(slate("t", 0, 0))
    seeds = [session.seed(0), session.seed(1), other.seed(0)]
    assert len(set(seeds)) == 3 and session.seed(0) == seeds[0] and all(0 <= seed < 2**32 for seed in seeds)
