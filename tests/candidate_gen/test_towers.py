import numpy as np
import pytest

from candidate_gen.examples import histories_at
from candidate_gen.interactions import LONG_VIEW
from candidate_gen.recall import HeldOut, recall_at, top_rows
from candidate_gen.towers import TowerArrays, VideoTower, ViewerTower
from core.arrays import pack
from core.errors import InputError, SchemaMismatch
from tests.candidate_gen.conftest import TINY
from tests.candidate_gen.worlds import DAY_MS, PROFILE_WORDS, START_MS, add_video, make_table

torch = pytest.importorskip("torch")


def train(world, from_ms=START_MS, **changes):
    from candidate_gen.train_towers import train_towers

    config = TINY.model_copy(update=changes)
    return train_towers(world.watches, world.table, config, from_ms, world.now_ms, PROFILE_WORDS)


def on_taste_share(world, viewer_tower, vectors, k=10):
    w, viewers = world.watches, np.arange(world.watches.viewers, dtype=np.int32)
    past = histories_at(w, viewers, np.full(len(viewers), world.now_ms), w.indptr[1:], 20)
    top = top_rows(viewer_tower.encode_many(past, w.profile) @ vectors.T, k)
    return float(np.mean(world.table.topic[top] - 1 == world.taste[:, None]))


def test_a_viewer_gets_videos_of_the_topic_that_they_watch(world, viewer_tower, video_vectors):
    # By chance one video in eight is of the viewer's topic.
    assert on_taste_share(world, viewer_tower, video_vectors) > 0.7


def test_the_arrays_score_like_the_torch_model(world):
    from candidate_gen.steps import StepMaker, corpus_of, examples_of
    from candidate_gen.train_towers import exported
    from candidate_gen.trainer import Trainer
    from candidate_gen.two_towers import tensors

    for normalise in (False, True):
        config = TINY.model_copy(update={"normalise": normalise, "temperature": 0.3})
        corpus = corpus_of(world.watches, world.table.upload_ms, config)
        examples = examples_of(corpus, config, START_MS, world.now_ms)
        trainer = Trainer(corpus, examples, world.table, config)
        trainer.epoch()
        step = StepMaker(corpus, examples, config, np.random.default_rng(0)).make(np.arange(64))
        with torch.no_grad():
            scores = trainer.model(tensors(step)).numpy()
        arrays = exported(trainer.model, corpus, world.now_ms, PROFILE_WORDS)
        assert np.abs(scores - served_scores(world, arrays, corpus, examples, step)).max() < 1e-5


def served_scores(world, arrays, corpus, examples, step):
    """The step's scores from the arrays, one viewer at a time, the bias taken at the step's own time."""
    rows, p = np.arange(len(world.table), dtype=np.int32), arrays.parameters
    video = VideoTower(arrays)
    viewer = ViewerTower(arrays, video.inputs(world.table, rows))
    columns = step.rows[step.columns]
    y = video.embed(world.table, columns.astype(np.int32), world.now_ms)[:, :-1]
    scores = []
    for example, at in enumerate(examples.at[:64]):
        w, who = world.watches, world.watches.viewer_of(at)
        span = slice(w.indptr[who], at)
        span = slice(span.start, span.start + int(np.sum(w.time_ms[span] < w.time_ms[at])))
        u = viewer.encode(w.video[span], w.signal[span], w.time_ms[span], w.profile[who], w.time_ms[at])
        time = step.time[example]
        bias = p["video.id_bias"][columns] + p["video.slope"] * step.log_share[time]
        scores.append(y @ u[:-1] + bias + p["video.age_bias"][step.age[time]])
    return np.asarray(scores)


def test_one_viewer_alone_gets_the_vector_of_the_batch(world, viewer_tower):
    w, now = world.watches, world.now_ms
    past = histories_at(w, np.arange(5, dtype=np.int32), np.full(5, now), w.indptr[1:6], 20)
    many = viewer_tower.encode_many(past, w.profile[:5])
    for viewer in range(5):
        span = slice(*w.indptr[viewer : viewer + 2])
        one = viewer_tower.encode(w.video[span], w.signal[span], w.time_ms[span], w.profile[viewer], now)
        np.testing.assert_allclose(one, many[viewer], atol=1e-5)


def test_the_same_seed_trains_the_same_arrays(world, trained):
    again = train(world)
    for name, array in trained.arrays.parameters.items():
        np.testing.assert_array_equal(array, again.arrays.parameters[name], err_msg=name)
    assert again.curve[0].loss == trained.curve[0].loss


def test_another_seed_trains_other_arrays(world, trained):
    other = train(world, seed=1, epochs=1).arrays.parameters["inputs.ids"]
    assert not np.array_equal(other, trained.arrays.parameters["inputs.ids"])


def test_the_loss_falls(trained):
    assert trained.curve[-1].loss < trained.curve[0].loss


def test_towers_come_back_from_their_bytes(trained):
    again = TowerArrays.from_bytes(trained.arrays.to_bytes())
    assert again.profile_words == PROFILE_WORDS
    assert (again.history, again.dim, again.videos) == (20, 16, 240)
    for name, array in trained.arrays.parameters.items():
        np.testing.assert_array_equal(array, again.parameters[name])
    np.testing.assert_array_equal(again.popularity, trained.arrays.popularity)


def test_towers_of_another_format_are_refused():
    with pytest.raises(SchemaMismatch):
        TowerArrays.from_bytes(pack({}, {"format": 0}))


def test_a_viewer_without_history_or_profile_gets_a_finite_vector(viewer_tower):
    none = np.zeros(0, np.int32)
    vector = viewer_tower.encode(none, none.astype(np.uint8), none.astype(np.int64), viewer_tower.codes(()), START_MS)
    assert vector.shape == (17,) and vector.dtype == np.float32
    assert np.isfinite(vector).all() and vector[-1] == 1


def test_unknown_profile_words_and_unknown_videos_are_left_out(viewer_tower):
    assert viewer_tower.codes(("mars", "web")).tolist() == [0, 3]
    assert viewer_tower.codes(("south",)).tolist() == [2, 0]
    known = np.asarray([8, 16], np.int32), np.full(2, LONG_VIEW, np.uint8), np.full(2, START_MS)
    beyond = np.asarray([8, 16, 10_000], np.int32), np.full(3, LONG_VIEW, np.uint8)
    plain = viewer_tower.encode(*known, viewer_tower.codes(()), START_MS + 1)
    mixed = viewer_tower.encode(*beyond, np.full(3, START_MS), viewer_tower.codes(()), START_MS + 1)
    assert np.isfinite(mixed).all()
    assert float(plain @ mixed) > 0.9 * np.linalg.norm(plain) * np.linalg.norm(mixed)


def test_a_new_video_gets_the_vector_of_its_content(world, trained, video_tower):
    table = make_table(240, 8, 6, np.random.default_rng(0))
    like = table.embedding[2].tolist()
    row = add_video(table, 240, 2, world.now_ms - 1000, author="nobody yet", embedding=tuple(like))
    new = video_tower.embed(table, np.asarray([row], np.int32), world.now_ms)[0, :-1]
    old = video_tower.embed(table, np.arange(240, dtype=np.int32), world.now_ms)[:, :-1]
    cosine = old @ new / np.linalg.norm(old, axis=1) / np.linalg.norm(new)
    by_topic = [cosine[np.arange(240) % 8 == topic].mean() for topic in range(8)]
    assert int(np.argmax(by_topic)) == 2


def test_fresh_popularity_raises_a_video(world, video_tower):
    rows, counts = np.arange(240, dtype=np.int32), np.ones(240, np.float32)
    before = video_tower.embed(world.table, rows, world.now_ms, counts)
    counts[7] = 50
    after = video_tower.embed(world.table, rows, world.now_ms, counts)
    assert after[7, -1] > before[7, -1]
    np.testing.assert_array_equal(after[:, :-1], before[:, :-1])


def test_the_logq_correction_matches_the_full_softmax(world):
    """In expectation over draws, exp(score) summed over corrected columns is its sum over the catalogue."""
    from candidate_gen.steps import StepMaker, corpus_of, examples_of

    corpus = corpus_of(world.watches, world.table.upload_ms, TINY)
    examples = examples_of(corpus, TINY, START_MS, world.now_ms)
    maker = StepMaker(corpus, examples, TINY, np.random.default_rng(3))
    value = np.random.default_rng(1).random(240)
    sums = []
    for start in range(300):
        rng = np.random.default_rng(start)
        step = maker.make(rng.choice(len(examples.at), 128, p=examples_share(examples)))
        columns = step.rows[step.columns]
        sums.append(np.sum(value[columns] * np.exp(step.correction)))
    # 128 draws where 127 are expected besides the positive: within 1% of the whole catalogue's sum.
    assert abs(np.mean(sums) / value.sum() - 1) < 0.03


def examples_share(examples):
    kept = np.minimum(examples.weight, 1)
    return kept / kept.sum()


def test_without_logq_popular_videos_are_pushed_down(world):
    popular = np.log1p(np.bincount(world.watches.video, minlength=240))
    slope = {}
    for logq in (True, False):
        scores = mean_scores(world, train(world, negatives=0, batch=32, logq=logq).arrays)
        slope[logq] = np.polyfit(popular, scores, 1)[0]
    # The corrected score grows like the log of the probability, so its slope is near one.
    assert slope[True] > 0.6 and slope[False] < 0.6 * slope[True], slope


def mean_scores(world, arrays):
    """The mean score of each video over all viewers. [videos]"""
    video, rows = VideoTower(arrays), np.arange(240, dtype=np.int32)
    viewer = ViewerTower(arrays, video.inputs(world.table, rows))
    w, everyone = world.watches, np.arange(300, dtype=np.int32)
    past = histories_at(w, everyone, np.full(300, world.now_ms), w.indptr[1:], 20)
    vectors = video.embed(world.table, rows, world.now_ms)
    return (viewer.encode_many(past, w.profile) @ vectors.T).mean(axis=0)


@pytest.mark.parametrize("name", ["accidental_hits", "history_hits"])
def test_each_correction_can_be_turned_off(world, name):
    assert np.isfinite(train(world, epochs=1, **{name: False}).curve[0].loss)


def test_the_held_out_end_chooses_the_epochs(world):
    curve = train(world, epochs=3, holdout_ms=DAY_MS // 2, refit=False).curve
    assert 1 <= len(curve) <= 3
    assert all(0 < record.recall_at_100 <= 1 for record in curve)


def test_of_a_span_shorter_than_the_held_out_end_the_last_third_is_held_out(world):
    assert world.now_ms - START_MS < 60 * DAY_MS
    [judged] = train(world, epochs=1, holdout_ms=60 * DAY_MS).curve
    assert 0 < judged.recall_at_100 <= 1
    first = int(world.watches.time_ms.min())
    third = train(world, epochs=1, holdout_ms=(world.now_ms - max(START_MS, first)) // 3).curve
    assert third == (judged,)


def test_a_span_without_watches_is_refused(world):
    with pytest.raises(InputError, match="span"):
        train(world, from_ms=world.now_ms)


def test_recall_is_the_mean_over_viewers():
    # Viewer 0 finds one of two, viewer 1 one of one: (0.5 + 1) / 2.
    held = HeldOut(np.asarray([0, 2, 3]), np.asarray([1, 4, 2]), np.zeros(3, int), np.zeros(0, int))
    top = np.asarray([[1, 0], [3, 2]], np.int32)
    assert recall_at(top, held, 5, 2) == 0.75


def test_ids_begin_at_given_vectors_of_one_mean_length_and_the_unknown_stay_near_zero():
    from candidate_gen.modules import VideoInputs

    vectors = torch.zeros(6, 3)
    vectors[:4] = torch.tensor([[2.0, 0, 0], [0, 4, 0], [0, 0, 6], [2, 2, 2]])
    inputs = VideoInputs(6, (2,), 0, 5, 0.0)
    with torch.no_grad():
        inputs.ids.zero_()
    inputs.start_from(vectors, 1.5)
    # The mean squared length of the four known vectors is (4 + 16 + 36 + 12) / 4 = 17.
    np.testing.assert_allclose(inputs.ids.detach()[:, :3], vectors * 1.5 / 17**0.5, rtol=1e-6)
    assert not inputs.ids.detach()[:, 3:].any()


def test_the_towers_start_from_what_was_known_before_the_held_out_end(world):
    from candidate_gen.train_towers import train_towers

    asked = []

    def start(watches):
        asked.append(int(watches.time_ms.max()))
        return np.eye(len(world.table), 8, dtype=np.float32)

    config = TINY.model_copy(update={"holdout_ms": DAY_MS, "epochs": 1})
    train_towers(world.watches, world.table, config, START_MS, world.now_ms, PROFILE_WORDS, start)
    # First without the last day, then for the refit with everything.
    assert asked[0] < world.now_ms - DAY_MS <= asked[1] < world.now_ms
