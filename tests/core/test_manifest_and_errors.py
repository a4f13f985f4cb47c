"""A bundle is served only when its manifest, its schema and its files are whole; errors form one tree."""

import msgspec
import pytest

from core import errors
from core.errors import CorruptData, ForyouError, NotFound, SchemaMismatch
from core.manifest import MANIFEST, Manifest, read_manifest, sha256, write_manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"trees")
    manifest = Manifest(
        bundle_id="b1", created_ms=1, feature_schema="abc", feature_names=("x",), data_from_ms=0, data_until_ms=9,
        applied_offset=4, impressions=7, seed=0, heads=("like",), value_weights={"like": 1.0}, metrics={"auc": 0.5},
        versions={}, files={"model.bin": sha256(tmp_path / "model.bin")}, notes=("tiny",),
    )  # fmt: skip
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_a_whole_bundle_gives_its_manifest_back(folder):
    manifest = read_manifest(folder, "abc")
    assert (manifest.bundle_id, manifest.heads, manifest.notes) == ("b1", ("like",), ("tiny",))
    assert read_manifest(folder) == manifest
    assert not list(folder.glob("*.part"))


def test_a_folder_without_a_manifest_holds_no_bundle(tmp_path):
    with pytest.raises(NotFound, match="foryou train"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bundle_id": 3}'])
def test_a_manifest_that_cannot_be_read_is_corrupt(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CorruptData, match="train again"):
        read_manifest(folder)


def test_a_bundle_for_other_features_is_refused_and_both_schemas_are_named(folder):
    with pytest.raises(SchemaMismatch, match=r"abc.*xyz"):
        read_manifest(folder, "xyz")


def test_a_damaged_file_is_named(folder):
    (folder / "model.bin").write_bytes(b"treeS")
    with pytest.raises(CorruptData, match=r"model\.bin"):
        read_manifest(folder)


def test_a_missing_file_is_named(folder):
    (folder / "model.bin").unlink()
    with pytest.raises(CorruptData, match=r"model\.bin"):
        read_manifest(folder)


def test_an_unknown_field_of_a_manifest_is_passed_over(folder):
    document = msgspec.json.decode((folder / MANIFEST).read_bytes()) | {"later": True}
    (folder / MANIFEST).write_bytes(msgspec.json.encode(document))
    assert read_manifest(folder).bundle_id == "b1"


# Name, parent, exit code, HTTP status: as the tree is drawn at the top of core.errors.
TREE = [
    ("InputError", "ForyouError", 2, 400),
    ("NotFound", "InputError", 3, 404),
    ("TooLarge", "InputError", 2, 413),
    ("CursorError", "InputError", 2, 400),
    ("ConfigError", "ForyouError", 4, 500),
    ("AuthError", "ForyouError", 5, 401),
    ("Forbidden", "AuthError", 5, 403),
    ("Unavailable", "ForyouError", 6, 503),
    ("StorageFull", "Unavailable", 6, 507),
    ("CorruptData", "ForyouError", 7, 500),
    ("SchemaMismatch", "CorruptData", 7, 500),
    ("NothingNew", "ForyouError", 0, 409),
    ("ContractError", "ForyouError", 1, 500),
]


@pytest.mark.parametrize(("name", "parent", "exit_code", "http_status"), TREE)
def test_every_error_has_its_place_its_exit_code_and_its_status(name, parent, exit_code, http_status):
    kind = getattr(errors, name)
    assert kind.__mro__[1].__name__ == parent
    assert (kind.exit_code, kind.http_status) == (exit_code, http_status)


def test_the_tree_is_drawn_whole_in_the_module_text():
    kinds = {k.__name__ for k in vars(errors).values() if isinstance(k, type) and issubclass(k, ForyouError)}
    assert kinds == {name for name, *_ in TREE} | {"ForyouError"}
    assert all(name in errors.__doc__ for name in kinds)


def test_an_error_says_its_sentence():
    assert NotFound("There is no such video.").sentence == "There is no such video."
    assert NotFound().sentence == "NotFound"
