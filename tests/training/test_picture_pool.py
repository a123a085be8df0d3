"""Old pictures come back with probability 1/2 once the pool is full, the same ones after a checkpoint, anywhere."""

import numpy as np
import pytest
import torch

from styletransfer.training.picture_pool import PicturePool, Pools, SlotPools


def entry(number):
    return torch.full((3, 4, 4), float(number)), torch.tensor([float(number), 0.0])


def numbers(pictures):
    return [int(picture[0, 0, 0]) for picture in pictures]


def test_a_filling_pool_hands_each_picture_back():
    pool = PicturePool(3)
    assert [numbers([pool.exchange(entry(n), 0.9, 0.0)[0]])[0] for n in range(3)] == [0, 1, 2]
    assert numbers(picture for picture, _ in pool.entries) == [0, 1, 2]


def test_a_full_pool_swaps_the_place_asked_for_or_nothing():
    pool = PicturePool(3)
    for n in range(3):
        pool.exchange(entry(n), 0.0, 0.0)
    picture, weights = pool.exchange(entry(7), 0.5, 0.4)
    assert (numbers([picture]), weights.tolist()) == ([1], [1.0, 0.0])  # with the style it was painted in
    assert numbers(picture for picture, _ in pool.entries) == [0, 7, 2]
    assert numbers([pool.exchange(entry(8), 0.4999, 0.4)[0]]) == [8]
    assert numbers(picture for picture, _ in pool.entries) == [0, 7, 2]


def test_half_of_the_pictures_are_old_and_every_place_gets_its_turn():
    pool, random = PicturePool(50), np.random.default_rng(0)
    came = [numbers([pool.exchange(entry(n), *random.random(2))[0]])[0] for n in range(2050)]
    old = [n - back for n, back in zip(range(50, 2050), came[50:], strict=True) if back != n]
    assert len(old) / 2000 == pytest.approx(0.5, abs=0.04)
    assert np.mean(old) == pytest.approx(100, rel=0.15)  # 50 places, one of them left every second picture


def test_a_picture_that_is_no_number_is_not_kept():
    pool = PicturePool(1)
    assert pool.exchange((torch.full((3, 4, 4), torch.nan), torch.ones(2)), 0.9, 0.0)[0].isnan().all()
    assert pool.entries == []


def test_old_pictures_of_another_size_leave_without_being_seen():
    pool = PicturePool(1)
    pool.exchange((torch.zeros(3, 8, 8), torch.ones(2)), 0.9, 0.0)
    assert pool.exchange(entry(5), 0.9, 0.0)[0].shape == (3, 4, 4)
    assert pool.exchange(entry(6), 0.9, 0.0)[0].shape == (3, 4, 4)
    assert numbers([pool.entries[0][0]]) == [6]


def batch(step, first, count):
    pictures = torch.stack([entry(100 * step + first + i)[0] for i in range(count)])
    return pictures, torch.eye(2)[torch.arange(first, first + count) % 2]


def test_two_processes_see_the_pictures_of_one():
    one = SlotPools(8, 4, range(4), seed=3)
    two = [SlotPools(8, 4, own, seed=3) for own in (range(2), range(2, 4))]
    old = 0
    for step in range(30):
        pictures, styles = one.exchange(*batch(step, 0, 4), 0, step)
        halves = [pool.exchange(*batch(step, 2 * rank, 2), 2 * rank, step) for rank, pool in enumerate(two)]
        torch.testing.assert_close(torch.cat([half[0] for half in halves]), pictures)
        torch.testing.assert_close(torch.cat([half[1] for half in halves]), styles)
        old += sum(number < 100 * step for number in numbers(pictures))
    assert 30 < old < 80


def test_without_a_pool_pictures_pass_through():
    pictures, styles = batch(1, 0, 4)
    found = SlotPools(0, 4, range(4), seed=0).exchange(pictures, styles, 0, 0)
    assert found[0] is pictures and found[1] is styles


def test_what_is_kept_does_not_hold_on_to_its_batch():
    pools = SlotPools(4, 4, range(4), seed=0)
    pictures, styles = batch(0, 0, 4)
    pools.exchange(pictures, styles, 0, 0)
    pictures.zero_()
    assert [numbers([pools.pools[slot].entries[0][0]]) for slot in range(4)] == [[0], [1], [2], [3]]


def pools_of(process, processes, size=8):
    return Pools(size, batch_size=4 // processes, passes=1, process=process, processes=processes, seed=3)


def test_saved_pools_go_on_as_if_never_stopped_on_two_processes_and_on_one(tmp_path):
    def exchange(pools, step):
        halves = [pool.exchange("painting", *batch(step, 2 * rank, 2), step, 0) for rank, pool in enumerate(pools)]
        return torch.cat([pictures for pictures, _ in halves])

    running = [pools_of(rank, 2) for rank in range(2)]
    for step in range(5):
        exchange(running, step)
    for pool in running:
        pool.save(tmp_path)
    resumed, single = [pools_of(rank, 2) for rank in range(2)], pools_of(0, 1)
    for pool in (*resumed, single):
        pool.load(tmp_path, torch.device("cpu"))
    for step in range(5, 20):
        expected = exchange(running, step)
        torch.testing.assert_close(exchange(resumed, step), expected)
        torch.testing.assert_close(single.exchange("painting", *batch(step, 0, 4), step, 0)[0], expected)


def test_each_kind_of_fake_and_each_pass_of_a_step_has_pools_of_its_own():
    pools = Pools(8, batch_size=2, passes=2, process=1, processes=2, seed=3)
    for number in range(2):
        pools.exchange("photo", *batch(0, 10 * number, 2), 0, number)
    assert pools.pools["painting"].tensors() == {}
    assert sorted(pools.pools["photo"].tensors()) == [
        f"{slot}.0.{what}" for slot in (2, 3, 6, 7) for what in ("picture", "style")
    ]


def test_a_checkpoint_without_pools_leaves_them_empty(tmp_path):
    Pools(0, batch_size=2, passes=1, process=0, processes=1, seed=3).save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    pools = pools_of(0, 1)
    pools.load(tmp_path, torch.device("cpu"))
    assert pools.pools["painting"].tensors() == {}
