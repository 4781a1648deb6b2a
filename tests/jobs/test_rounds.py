"""Rounds: what failed is asked for again, a dead source costs little, one fault hurts nobody else."""

import threading
import time
from collections import Counter

import pytest

from futures_agent.errors import Interrupted, Refuse, Retry, SkipSymbol
from futures_agent.jobs.rounds import Task, fetch_in_rounds
from futures_agent.program.job import Job
from futures_agent.program.progress import Reporter

ALWAYS = "always"


class Script:
    """Faults to raise by item, one an attempt, or ALWAYS; counts the attempts."""

    def __init__(self, **faults):
        self.faults = faults
        self.asked = Counter()

    def task(self, item, source="s"):
        def fetch():
            self.asked[item] += 1
            left = self.faults.get(item)
            if left == ALWAYS:
                raise Retry(ALWAYS)
            if left:
                raise left.pop(0)
            return lambda db: 1

        return Task(source=source, item=item, fetch=fetch)


@pytest.fixture
def job(settings_for):
    with Reporter("test") as reporter:
        made = Job("test", settings_for("http://127.0.0.1:1"), reporter)
        made.waits = []
        made.wait = made.waits.append
        yield made


def run(job, tasks, waits_s=(10.0, 30.0, 60.0), workers=2, waiting=lambda: False):
    answers = []
    fetch_in_rounds(job, tasks, waits_s=waits_s, workers=workers, waiting=waiting, take=answers.append)
    return {answer.task.item: answer for answer in answers}


def test_what_succeeds_is_asked_for_once(job):
    script = Script()
    answers = run(job, [script.task(item) for item in "abc"])
    assert script.asked == {"a": 1, "b": 1, "c": 1}
    assert all(answer.fault is None and answer.store(None) == 1 for answer in answers.values())
    assert job.waits == []


def test_only_what_failed_is_asked_for_again_after_each_wait(job):
    script = Script(a=[Retry("1"), Retry("2")], b=[Retry("1"), Retry("2"), Retry("3")])
    answers = run(job, [script.task(item) for item in "abc"])
    assert script.asked == {"a": 3, "b": 4, "c": 1}
    assert job.waits == [10.0, 30.0, 60.0]
    assert [answers[item].fault for item in "abc"] == [None, None, None]


def test_the_last_fault_is_told(job):
    script = Script(a=ALWAYS)
    assert str(run(job, [script.task("a")])["a"].fault) == ALWAYS
    assert script.asked["a"] == 4


@pytest.mark.parametrize("fault", [Refuse("no"), SkipSymbol("a", "unknown")])
def test_a_refusal_is_final_at_once(job, fault):
    script = Script(a=[fault])
    assert run(job, [script.task("a")])["a"].fault is fault
    assert script.asked["a"] == 1
    assert job.waits == []


def test_a_dead_source_is_given_up_for_the_round_and_others_are_not(job):
    items = [f"dead{number}" for number in range(50)]
    script = Script(**dict.fromkeys(items, ALWAYS))
    tasks = [script.task(item, "dead") for item in items] + [script.task("a", "alive")]
    answers = run(job, tasks, workers=1)
    assert sum(script.asked[item] for item in items) == 4 * 3
    assert all(str(answers[item].fault) == ALWAYS for item in items)
    assert answers["a"].fault is None


def test_a_source_that_answers_now_and_then_is_not_given_up(job):
    faults = {f"i{number}": ALWAYS for number in range(30) if number % 3}
    script = Script(**faults)
    run(job, [script.task(f"i{number}") for number in range(30)], waits_s=(), workers=1)
    assert sum(script.asked.values()) == 30


def test_a_round_that_would_begin_too_late_does_not_begin(job):
    def waited(seconds):
        job.waits.append(seconds)
        job.started_ms -= 400_000  # the round took long

    job.wait = waited
    script = Script(a=ALWAYS)
    assert run(job, [script.task("a")])["a"].fault is not None
    assert job.waits == [10.0]
    assert script.asked["a"] == 2


def test_being_told_to_stop_ends_it_and_what_was_not_begun_is_not_begun(job):
    began = threading.Event()

    def fetch():
        began.set()
        while not job.stopping.is_set():
            time.sleep(0.005)
        raise Interrupted("stopped")

    tasks = [Task(source="s", item=str(number), fetch=fetch) for number in range(100)]
    threading.Thread(target=lambda: (began.wait(5), job.stopping.set())).start()
    with pytest.raises(Interrupted):
        run(job, tasks)


def test_a_mistake_of_the_program_is_not_hidden(job):
    def fetch():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(job, [Task(source="s", item="a", fetch=fetch)])


def test_waits_with_a_bound_feed_the_watchdog(job):
    fed = []
    job.reporter.alive = lambda: fed.append(1)
    released = threading.Event()

    def fetch():
        released.wait(5)
        return lambda db: 0

    def waiting():
        if len(fed) == 2:
            released.set()
        return True

    run(job, [Task(source="s", item="a", fetch=fetch)], waiting=waiting)
    assert len(fed) >= 2
