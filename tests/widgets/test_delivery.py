from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from catjac_widgets.widgets.base.delivery import Delivery


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_what_is_posted_is_sent_once_and_the_last_of_a_key_wins() -> None:
    delivery, sent = Delivery(interval=60), []
    delivery._thread = threading.current_thread()  # no rounds of its own in this test
    for k in range(5):
        delivery.post("a", lambda _, k=k: sent.append(k))
    delivery.post("b", sent.append, prepare=lambda: "prepared")
    delivery.deliver()
    delivery.deliver()
    assert sent == [4, "prepared"]


def test_the_lock_is_held_while_sending_and_not_while_preparing() -> None:
    delivery, free = Delivery(interval=60), []
    delivery._thread = threading.current_thread()

    def try_lock(_: object = None) -> None:
        result = []

        def take() -> None:
            result.append(delivery.lock.acquire(timeout=0.05))
            if result[0]:
                delivery.lock.release()

        other = threading.Thread(target=take)
        other.start()
        other.join()
        free.append(result[0])

    delivery.post("a", try_lock, prepare=try_lock)
    delivery.deliver()
    assert free == [True, False]


def test_rounds_are_spaced_but_urgent_posts_are_not() -> None:
    delivery, sent = Delivery(interval=0.5), []
    delivery.post("first", sent.append)
    wait_for(lambda: len(sent) == 1)
    delivery.post("later", lambda _: sent.append("later"))
    delivery.post("now", lambda _: sent.append("now"), urgent=True)
    wait_for(lambda: len(sent) == 3)
    assert sent == [None, "now", "later"]


def test_many_posts_make_few_rounds() -> None:
    delivery, sent = Delivery(interval=0.1), []
    begun = time.monotonic()
    while time.monotonic() - begun < 0.55:
        delivery.post("rows", sent.append)
        time.sleep(0.001)
    assert 1 <= len(sent) <= (time.monotonic() - begun) / 0.1 + 2


def test_its_thread_ends_when_idle_and_comes_back() -> None:
    delivery, sent = Delivery(interval=0.01, idle=0.05), []
    for k in range(3):
        delivery.post("a", sent.append)
        wait_for(lambda k=k: len(sent) == k + 1)
        wait_for(lambda: delivery._thread is None)


def test_one_mistake_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    delivery, sent = Delivery(interval=60), []
    delivery._thread = threading.current_thread()
    delivery.post("bad", lambda _: 1 / 0)
    delivery.post("good", sent.append)
    with caplog.at_level(logging.ERROR, logger="catjac.widgets"):
        delivery.deliver()
    assert sent == [None]
    assert "bad" in caplog.text


def test_after_close_nothing_is_sent() -> None:
    delivery, sent = Delivery(interval=0.01, idle=0.05), []
    delivery.post("a", sent.append)
    delivery.close()
    delivery.post("b", sent.append)
    delivery.deliver()
    wait_for(lambda: delivery._thread is None)
    assert sent in ([], [None])  # the thread may have been quicker than close
    before = len(sent)
    delivery.post("c", sent.append)
    time.sleep(0.05)
    assert len(sent) == before


def test_posts_from_many_threads_all_arrive() -> None:
    delivery, sent = Delivery(interval=0.001), []

    def post(name: int) -> None:
        for k in range(50):
            delivery.post((name, k), lambda _, k=k: sent.append((name, k)))

    threads = [threading.Thread(target=post, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(sent) == 400)
    assert sorted(sent) == [(name, k) for name in range(8) for k in range(50)]
