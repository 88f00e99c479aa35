import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnseg.maskattn_unet import grouping

THING, OTHER, STUFF = 0, 1, 2


def touching_discs(size: int = 40) -> tuple[NDArray, NDArray]:
    """Class map of two touching discs (one component) and their true instances."""
    rows, cols = np.mgrid[:size, :size]
    truth = np.full((size, size), -1)
    for i, centre in enumerate([(20, 12), (20, 26)]):
        inside = (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < 64
        truth[inside & (truth < 0)] = i
    return np.where(truth >= 0, THING, STUFF), truth


def embed(truth: NDArray, dim: int = 6, noise: float = 0.0) -> NDArray:
    """Unit vectors, one direction an instance, with Gaussian noise."""
    rng = np.random.default_rng(0)
    vectors = np.eye(dim)[truth % dim].transpose(2, 0, 1)
    vectors = vectors + noise * rng.standard_normal(vectors.shape)
    return vectors / np.linalg.norm(vectors, axis=0)


def same_partition(one: NDArray, two: NDArray) -> bool:
    pairs = {*zip(one.ravel().tolist(), two.ravel().tolist(), strict=True)}
    return len(pairs) == len(np.unique(one)) == len(np.unique(two))


def cluster(truth: NDArray, classes: NDArray, noise: float = 0.1, **kwargs: object) -> NDArray:
    vectors = embed(truth, noise=noise)
    return grouping.cluster_embeddings(vectors, classes, np.ones(classes.shape), 2, **kwargs)


@pytest.mark.parametrize("connected", [False, True])
def test_clustering_separates_what_components_merge(connected: bool) -> None:
    classes, truth = touching_discs()
    assert grouping.connected_components(classes, 2).max() == 0
    assert same_partition(cluster(truth, classes, connected=connected), truth)


def test_an_instance_in_parts_is_one_unless_it_must_be_connected() -> None:
    truth = np.full((20, 20), -1)
    truth[2:6, 2:18] = 0
    truth[12:16, 2:18] = 0
    classes = np.where(truth == 0, THING, STUFF)
    assert cluster(truth, classes).max() == 0
    assert cluster(truth, classes, connected=True).max() == 1


def test_classes_are_never_mixed() -> None:
    classes, truth = touching_discs()
    classes[:20][classes[:20] == THING] = OTHER
    found = cluster(np.where(truth >= 0, 0, -1), classes)
    assert same_partition(found, np.where(truth >= 0, classes, -1))


def test_small_clusters_join_their_neighbour_and_small_regions_vanish() -> None:
    classes, truth = touching_discs()
    speckled = truth.copy()
    speckled[20, 10] = 3
    assert same_partition(cluster(speckled, classes, noise=0.02, min_area=4), truth)
    classes[0, 0] = THING
    assert cluster(truth, classes, min_area=4, connected=True)[0, 0] == -1


def test_a_region_without_agreement_is_still_one_instance() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((32, 6, 6))
    vectors /= np.linalg.norm(vectors, axis=0)
    classes = np.zeros((6, 6), dtype=int)
    found = grouping.cluster_embeddings(
        vectors, classes, np.ones((6, 6)), 1, similarity=0.99, min_area=4, connected=True
    )
    assert (found == 0).all()


@pytest.mark.parametrize("connected", [False, True])
def test_no_thing_gives_no_instance(connected: bool) -> None:
    classes = np.full((8, 8), STUFF)
    found = cluster(np.zeros((8, 8), int), classes, connected=connected)
    assert (found == -1).all()
    assert (grouping.connected_components(classes, 2) == -1).all()
    labels, scores, areas = grouping.score_instances(found, classes, np.ones((8, 8)), None)
    assert len(labels) == len(scores) == len(areas) == 0


def test_score_is_probability_times_cohesion() -> None:
    instances = np.array([[0, 0, -1], [1, 1, -1]])
    classes = np.array([[1, 1, 2], [0, 0, 2]])
    probability = np.array([[0.8, 0.6, 1.0], [0.5, 0.5, 1.0]])
    embedding = np.zeros((2, 2, 3))
    embedding[0] = 1
    # Two orthogonal vectors: each has a cosine of 1/sqrt(2) to their normalised mean.
    embedding[:, 1, 1] = [0, 1]
    labels, scores, areas = grouping.score_instances(instances, classes, probability, embedding)
    assert labels.tolist() == [1, 0]
    assert areas.tolist() == [2, 2]
    assert np.allclose(scores, [0.7, 0.5 / np.sqrt(2)])


def test_cohesion_is_low_at_the_border_and_high_inside() -> None:
    classes, truth = touching_discs()
    cohesion = grouping.local_cohesion(embed(truth), classes == THING)
    assert cohesion[20, 8] == pytest.approx(1, abs=1e-5)
    assert cohesion[20, 19] < 0.8
    assert (cohesion[truth < 0] == 0).all()


def test_enlarging_follows_the_larger_class_map() -> None:
    instances = np.array([[0, 1], [-1, -1]])
    labels = np.array([THING, OTHER])
    classes = np.full((8, 8), STUFF)
    classes[:5, :4] = THING
    classes[:3, 4:] = OTHER
    found = grouping.enlarge_instances(instances, labels, classes, reach=2)
    expected = np.where(classes == THING, 0, np.where(classes == OTHER, 1, -1))
    assert (found == expected).all()


def test_enlarging_between_two_classes_asks_for_the_nearest_of_the_own_class() -> None:
    instances = np.zeros((4, 8), dtype=int)
    instances[:, 4:] = 1
    labels = np.array([THING, OTHER])
    classes = np.full((16, 32), OTHER)
    classes[:, :20] = THING
    found = grouping.enlarge_instances(instances, labels, classes, reach=8)
    assert (found == np.where(classes == THING, 0, 1)).all()


def test_enlarging_leaves_out_what_is_far_from_any_instance() -> None:
    classes = np.full((16, 16), THING)
    instances = np.full((4, 4), -1)
    instances[0, 0] = 0
    found = grouping.enlarge_instances(instances, np.array([THING]), classes, reach=3)
    assert found[0, 5] == 0
    assert found[15, 15] == -1


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), h=st.integers(1, 14), w=st.integers(1, 14))
def test_invariants_on_random_maps(seed: int, h: int, w: int) -> None:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (h, w))
    vectors = rng.standard_normal((4, h, w))
    vectors /= np.linalg.norm(vectors, axis=0)
    probability = rng.random((h, w))
    for connected in (False, True):
        found = grouping.cluster_embeddings(
            vectors, classes, probability, 2, min_area=1, connected=connected
        )
        assert ((found >= 0) == (classes < 2)).all()
        assert set(np.unique(found)) - {-1} == set(range(found.max() + 1))
        labels, scores, areas = grouping.score_instances(found, classes, probability, vectors)
        assert all(len(np.unique(classes[found == i])) == 1 for i in range(len(labels)))
        assert areas.sum() == (found >= 0).sum()
        assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()


def test_classes_that_are_absent_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = grouping.local_cohesion

    def spy(embedding: np.ndarray, mask: np.ndarray, radius: int) -> np.ndarray:
        seen.append(int(mask.sum()))
        return whole(embedding, mask, radius)

    monkeypatch.setattr(grouping, "local_cohesion", spy)
    classes = np.full((8, 8), 80)
    classes[:4, :4] = 7
    embedding = np.zeros((2, 8, 8))
    embedding[0] = 1
    ids = grouping.cluster_embeddings(embedding, classes, np.ones((8, 8)), num_things=80)
    assert seen == [16]
    assert np.array_equal(ids >= 0, classes == 7)
