from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from catjac_widgets.widgets.base.delivery import SENDING, Delivery


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_of_posts_that_wait_under_one_key_the_last_is_sent_once() -> None:
    delivery, sent = Delivery(interval=60), []
    with delivery.lock:  # nobody sends before all is posted
        for k in range(5):
            delivery.post("a", lambda _, k=k: sent.append(k))
        delivery.post("b", sent.append, prepare=lambda: "prepared")
    assert delivery.flush(10)
    assert delivery.flush(10)
    assert sent[-2:] == [4, "prepared"]
    # The thread may have taken the first one in hand before the second was posted.
    assert sent[:-2] in ([], [0])


def test_the_lock_is_held_while_sending_and_not_while_preparing() -> None:
    delivery, free = Delivery(), []

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
    assert delivery.flush(10)
    assert free == [True, False]


def test_a_preparation_that_takes_long_holds_nobody_back() -> None:
    delivery, sent, go = Delivery(interval=0.05), [], threading.Event()
    delivery.post("summary", sent.append, prepare=lambda: go.wait(20) and "summary")
    delivery.post("rows", lambda _: sent.append("rows"))
    wait_for(lambda: "rows" in sent)
    asked = time.monotonic()
    delivery.post("drag", lambda _: sent.append("drag"), urgent=True)
    delivery.post("answer", sent.append, prepare=lambda: "answer", urgent=True)
    wait_for(lambda: {"drag", "answer"} <= set(sent))
    assert time.monotonic() - asked < 5
    assert not delivery.flush(0.05)
    delivery.deliver()  # returns at once too
    assert "summary" not in sent
    go.set()
    assert delivery.flush(10)
    assert sent[-1] == "summary"


def test_what_is_posted_while_the_same_is_prepared_is_prepared_next() -> None:
    delivery, sent, go = Delivery(interval=0.01), [], threading.Event()
    begun = threading.Semaphore(0)

    def prepare(number: int) -> int:
        begun.release()
        assert go.wait(20)
        return number

    delivery.post("a", sent.append, prepare=lambda: prepare(1))
    assert begun.acquire(timeout=10)
    for number in (2, 3, 4):
        delivery.post("a", sent.append, prepare=lambda number=number: prepare(number))
    assert not begun.acquire(timeout=0.1)  # one at a time
    go.set()
    assert delivery.flush(10)
    # The first may be overtaken before it is sent, by the last and no other.
    assert sent in ([1, 4], [4])


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


def sending_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == SENDING}


def test_its_thread_ends_when_idle_and_comes_back() -> None:
    before = sending_threads()
    delivery, sent = Delivery(interval=0.01, idle=0.05), []
    for k in range(3):
        delivery.post("a", sent.append)
        wait_for(lambda k=k: len(sent) == k + 1)
        wait_for(lambda: sending_threads() <= before)


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit()], ids=["error", "exit"])
def test_one_mistake_does_not_silence_the_others(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    delivery, sent = Delivery(interval=0.01), list[object]()
    with caplog.at_level(logging.ERROR, logger="catjac.widgets"):
        delivery.post("bad", fail)
        delivery.post("unprepared", sent.append, prepare=fail)
        delivery.post("good", sent.append)
        wait_for(lambda: sent == [None])
        assert delivery.flush(10)
    assert "bad" in caplog.text
    assert "unprepared" in caplog.text


def test_after_close_nothing_is_sent() -> None:
    before = sending_threads()
    delivery, sent = Delivery(interval=0.01, idle=0.05), []
    delivery.post("a", sent.append)
    delivery.close()
    delivery.post("b", sent.append)
    delivery.deliver()
    wait_for(lambda: sending_threads() <= before)
    assert sent in ([], [None])  # the thread may have been quicker than close
    count = len(sent)
    delivery.post("c", sent.append)
    time.sleep(0.05)
    assert len(sent) == count


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
