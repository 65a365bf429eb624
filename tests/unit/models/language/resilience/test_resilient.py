import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from milepost.entities.errors import UpstreamError
from milepost.entities.language import Completion
from milepost.entities.upstream import Upstream
from milepost.models.language.asking import Answered, Terms
from milepost.models.language.resilience.fallback import FallingBack
from milepost.models.language.resilience.resilient import Resilient

Script = Callable[[int], tuple[float, str]]

SERVE = Terms()
IMPROVE = Terms(purpose="improve")


def ok(_: int) -> tuple[float, str]:
    return 0.1, "ok"


def layer(stage: Any, upstream: Upstream, *models: Any) -> Resilient:
    return Resilient(upstream, models, clock=stage.now, random=random.Random(7))  # noqa: S311


async def outcome(model: Any, request: Any, terms: Terms = SERVE) -> Answered:
    try:
        return await model.complete(request, terms)
    except UpstreamError as error:
        return error


def error_of(answer: Answered) -> UpstreamError:
    assert isinstance(answer, UpstreamError), answer
    return answer


def test_what_may_pass_is_tried_again_and_what_all_attempts_cost_is_summed(stage: Any) -> None:
    upstream = stage.row()
    model = stage.Scripted(upstream, lambda n: (0.1, "ok" if n == 2 else "server_error"))
    found = stage.run(outcome(layer(stage, upstream, model), stage.asked("x")))
    assert isinstance(found, Completion)
    assert (found.text, found.attempts, found.micro_usd) == ("2", 3, 30)
    assert found.seconds == pytest.approx(model.ended[-1])


@pytest.mark.parametrize("kind", ["bad_request", "bad_key", "filtered", "too_long"])
def test_what_will_not_pass_is_sent_once(stage: Any, kind: str) -> None:
    upstream = stage.row()
    model = stage.Scripted(upstream, lambda _: (0.1, kind))
    found = error_of(stage.run(outcome(layer(stage, upstream, model), stage.asked("x"))))
    assert (found.outcome, found.attempts, found.micro_usd) == (kind, 1, 10)
    assert found.upstream == upstream.name


def test_one_deadline_holds_for_all_attempts_together(stage: Any) -> None:
    upstream = stage.row(timeout_s=10.0)
    model = stage.Scripted(upstream, lambda _: (0.7, "server_error"))

    async def trial() -> tuple[float, UpstreamError]:
        found = await outcome(
            layer(stage, upstream, model), stage.asked("x"), Terms(deadline=stage.now() + 1.0)
        )
        return stage.now(), error_of(found)

    ended, error = stage.run(trial())
    assert ended <= 1.05
    assert error.attempts == len(model.sent)
    hanging = stage.Scripted(upstream, lambda _: (1e9, "ok"))

    async def timed() -> tuple[float, UpstreamError]:
        found = error_of(await outcome(layer(stage, upstream, hanging), stage.asked("x")))
        return stage.now(), found

    ended, error = stage.run(timed())
    assert error.outcome == "timeout"
    assert 10.0 <= ended <= 10.05, "without a deadline it is the upstream's"
    assert hanging.cancelled == 1


def test_retry_after_is_kept_by_all_callers_if_the_deadline_allows_it(stage: Any) -> None:
    upstream = stage.row()
    model = stage.Scripted(
        upstream, lambda n: (0.1, "ok" if n else "rate_limited"), retry_after=3.0
    )

    async def trial() -> tuple[Answered, Answered, Answered]:
        whole = layer(stage, upstream, model)
        first = asyncio.create_task(outcome(whole, stage.asked("a")))
        await asyncio.sleep(0.5)
        hurried = await outcome(whole, stage.asked("b"), Terms(deadline=stage.now() + 1.0))
        assert stage.now() == 0.5, "told at once, as it could not be in time"
        return await first, hurried, await outcome(whole, stage.asked("c"))

    first, hurried, _ = stage.run(trial())
    assert isinstance(first, Completion)
    assert first.attempts == 2
    assert model.sent[1] >= 3.1, "nothing is sent before"
    refused = error_of(hurried)
    assert (refused.outcome, refused.attempts) == ("rate_limited", 0)
    assert refused.retry_after == pytest.approx(2.6)


def test_a_dead_endpoint_rests_and_is_probed_by_one_call(stage: Any) -> None:
    upstream = stage.row()
    dead = True
    model = stage.Scripted(upstream, lambda _: (0.1, "reset" if dead else "ok"))

    async def trial() -> None:
        nonlocal dead
        whole = layer(stage, upstream, model)
        while len(model.sent) < 5:
            await outcome(whole, stage.asked("x"))
        before = len(model.sent)
        refused = error_of(await outcome(whole, stage.asked("x")))
        assert (refused.outcome, refused.attempts) == ("breaker_open", 0)
        assert refused.retry_after is not None
        assert len(model.sent) == before
        # A contest's call waits for the endpoint; its probe is the only one on its way.
        dead = False
        model.most = 0
        patient = [outcome(whole, stage.asked("x"), IMPROVE) for _ in range(8)]
        found = await asyncio.gather(*patient)
        assert all(isinstance(answer, Completion) for answer in found)
        assert model.sent[before + 1] >= model.ended[before], "the others waited for the probe"

    stage.run(trial())


@pytest.mark.parametrize("kind", ["server_error", "reset", "rate_limited", "overloaded", "timeout"])
@pytest.mark.parametrize("purpose", ["serve", "improve"])
def test_under_total_failure_it_adds_at_most_a_fifth(stage: Any, kind: str, purpose: Any) -> None:
    upstream = stage.row(at_once=16, timeout_s=30.0)
    model = stage.Scripted(upstream, lambda _: (0.05, kind))

    async def trial() -> list[Answered]:
        whole = layer(stage, upstream, model)
        found: list[Answered] = []
        for _ in range(40):
            calls = [outcome(whole, stage.asked("x"), Terms(purpose=purpose)) for _ in range(16)]
            found += await asyncio.gather(*calls)
        return found

    found = stage.run(trial())
    assert all(isinstance(answer, UpstreamError) for answer in found)
    assert 0 < len(model.sent) <= 1.2 * len(found)
    assert sum(error_of(answer).attempts for answer in found) == len(model.sent)
    assert sum(error_of(answer).micro_usd for answer in found) == 10 * len(model.sent)


def test_callers_in_a_hurry_do_not_close_an_endpoint_to_others(stage: Any) -> None:
    upstream = stage.row()
    model = stage.Scripted(upstream, lambda _: (1.0, "ok"))

    async def trial() -> None:
        whole = layer(stage, upstream, model)
        assert isinstance(await outcome(whole, stage.asked("x")), Completion)
        for _ in range(20):
            hurried = await outcome(whole, stage.asked("x"), Terms(deadline=stage.now() + 0.5))
            assert error_of(hurried).outcome == "timeout"
        assert isinstance(await outcome(whole, stage.asked("x")), Completion)

    stage.run(trial())


def test_calls_at_once_are_bounded_and_who_waits_too(stage: Any) -> None:
    upstream = stage.row(at_once=4)
    model = stage.Scripted(upstream, ok)

    async def trial() -> list[Answered]:
        whole = layer(stage, upstream, model)
        return await asyncio.gather(*[outcome(whole, stage.asked("x")) for _ in range(50)])

    found = stage.run(trial())
    assert model.most == 4
    answered = [answer for answer in found if isinstance(answer, Completion)]
    assert len(answered) == 4 + 8 * 4
    refused = {error_of(a).outcome for a in found if not isinstance(a, Completion)}
    assert refused == {"overloaded"}


def test_who_waits_for_a_place_is_told_by_its_deadline_and_leaves_no_place_taken(
    stage: Any,
) -> None:
    upstream = stage.row(at_once=1)
    model = stage.Scripted(upstream, lambda _: (2.0, "ok"))

    async def trial() -> None:
        whole = layer(stage, upstream, model)
        first = asyncio.create_task(outcome(whole, stage.asked("a")))
        await asyncio.sleep(0)
        late = asyncio.create_task(outcome(whole, stage.asked("b"), Terms(deadline=1.0)))
        gone = asyncio.create_task(outcome(whole, stage.asked("c")))
        kept = asyncio.create_task(outcome(whole, stage.asked("d")))
        await asyncio.sleep(1.5)
        assert error_of(late.result()).outcome == "overloaded"
        gone.cancel()
        assert isinstance(await first, Completion)
        assert isinstance(await kept, Completion)
        assert stage.now() == 4.0

    stage.run(trial())


def test_an_endpoint_that_refuses_load_gets_less_and_then_more_again(stage: Any) -> None:
    upstream = stage.row(at_once=16, timeout_s=600.0)
    model = stage.Scripted(upstream, ok)

    def script(_: int) -> tuple[float, str]:
        return (0.1, "ok") if model.flying <= 4 else (0.01, "rate_limited")

    model.script = script

    async def trial() -> list[Answered]:
        whole = layer(stage, upstream, model)
        calls = [outcome(whole, stage.asked("x"), IMPROVE) for _ in range(120)]
        return await asyncio.gather(*calls)

    found = stage.run(trial())
    answered = sum(isinstance(answer, Completion) for answer in found)
    assert answered >= 85
    assert len(model.sent) <= 1.2 * len(found) + 10


def test_another_endpoint_is_asked_where_one_fails(stage: Any) -> None:
    upstream = stage.row(endpoints=2)
    bad = stage.Scripted(upstream, lambda _: (0.1, "bad_key"))
    good = stage.Scripted(upstream, ok)

    async def trial() -> list[Answered]:
        whole = layer(stage, upstream, bad, good)
        return [await outcome(whole, stage.asked("x")) for _ in range(60)]

    found = stage.run(trial())
    assert isinstance(found[-1], Completion)
    assert len(bad.sent) <= 5 + 1, "after five failures it rests"
    assert sum(isinstance(answer, Completion) for answer in found) >= 58


def test_the_quicker_endpoint_gets_more_and_weights_are_kept(stage: Any) -> None:
    def shares(balance: str, seconds: float, text: Callable[[int], str]) -> tuple[int, int]:
        upstream = stage.row(endpoints=2, balance=balance, at_once=64)
        one = stage.Scripted(upstream, ok)
        two = stage.Scripted(upstream, lambda _: (seconds, "ok"))

        async def trial() -> None:
            whole = layer(stage, upstream, one, two)
            for _ in range(50):
                calls = [outcome(whole, stage.asked(text(n))) for n in range(8)]
                await asyncio.gather(*calls)

        stage.run(trial())
        return len(one.sent), len(two.sent)

    quick, slow = shares("fastest", 1.0, str)
    assert quick > 3 * slow > 0
    one, two = shares("weighted", 1.0, str)
    assert abs(one - two) < 80
    alike = shares("cheapest", 0.1, lambda _: "always the same beginning")
    assert sorted(alike) == [0, 400]
    assert min(shares("cheapest", 0.1, str)) >= 50


def test_a_hedge_is_answered_by_the_quicker_and_pays_for_both(stage: Any) -> None:
    upstream = stage.row(endpoints=2, hedge_after_s=1.0)
    sent: list[int] = []

    def script(_: int) -> tuple[float, str]:
        sent.append(0)
        return (50.0 if len(sent) == 2 else 0.1), "ok"

    one, two = stage.Scripted(upstream, script), stage.Scripted(upstream, script)

    async def trial() -> tuple[Completion, float]:
        whole = layer(stage, upstream, one, two)
        await whole.complete(stage.asked("x"), SERVE)
        before = stage.now()
        return await whole.complete(stage.asked("x"), SERVE), stage.now() - before

    found, seconds = stage.run(trial())
    assert seconds == pytest.approx(1.1)
    assert found.attempts == 2
    assert one.cancelled + two.cancelled == 1
    assert {len(one.sent), len(two.sent)} in ({1, 2}, {2, 1}), "each was asked"
    assert 10 < found.micro_usd <= 30, "the loser is counted as a usual call"


def test_a_hedge_whose_endpoints_both_fail_says_so_with_what_both_cost(stage: Any) -> None:
    upstream = stage.row(endpoints=2, hedge_after_s=1.0)
    one = stage.Scripted(upstream, lambda _: (2.0, "bad_request"))
    two = stage.Scripted(upstream, lambda _: (2.0, "bad_request"))
    error = error_of(stage.run(outcome(layer(stage, upstream, one, two), stage.asked("x"))))
    assert (error.outcome, error.attempts, error.micro_usd) == ("bad_request", 2, 20)


def test_a_caller_who_goes_takes_the_call_and_its_place_along(stage: Any) -> None:
    upstream = stage.row(endpoints=2, hedge_after_s=1.0, at_once=2)
    one = stage.Scripted(upstream, lambda _: (9.0, "ok"))
    two = stage.Scripted(upstream, lambda _: (9.0, "ok"))

    async def trial() -> None:
        whole = layer(stage, upstream, one, two)
        call = asyncio.create_task(outcome(whole, stage.asked("x")))
        await asyncio.sleep(3.0)
        assert (one.flying, two.flying) == (1, 1)
        call.cancel()
        await asyncio.wait({call})
        assert (one.flying, two.flying) == (0, 0)
        assert isinstance(await outcome(whole, stage.asked("y")), Completion)

    stage.run(trial())


async def pieces_of(model: Any, request: Any, terms: Terms = SERVE) -> tuple[list[str], Any]:
    got: list[str] = []
    try:
        async for piece in model.stream(request, terms):
            got.append(piece.text)
            if piece.whole is not None:
                return got, piece.whole
    except UpstreamError as error:
        return got, error
    return got, None


@pytest.mark.parametrize("second", [0.1, 49.0], ids=["the second", "both at once"])
def test_a_stream_is_hedged_until_its_first_piece(stage: Any, second: float) -> None:
    upstream = stage.row(endpoints=2, hedge_after_s=1.0, at_once=2)
    sent: list[int] = []

    def script(_: int) -> tuple[float, str]:
        sent.append(0)
        return {2: 50.0, 3: second}.get(len(sent), 0.1), "ok"

    one, two = stage.Scripted(upstream, script), stage.Scripted(upstream, script)

    async def trial() -> tuple[Completion, float]:
        whole = layer(stage, upstream, one, two)
        await whole.complete(stage.asked("x"), SERVE)
        before = stage.now()
        _, found = await pieces_of(whole, stage.asked("x"))
        seconds = stage.now() - before
        both = [pieces_of(whole, stage.asked(each)) for each in "yz"]
        assert all(found is not None for _, found in await asyncio.gather(*both)), "places are free"
        return found, seconds

    found, seconds = stage.run(trial())
    assert seconds == pytest.approx(1.0 + second)
    assert found.attempts == 2
    assert (one.flying, two.flying) == (0, 0)
    assert 10 < found.micro_usd <= 30, "the loser is counted, too"


def test_a_caller_without_money_does_not_rest_the_endpoint_of_all_others(stage: Any) -> None:
    upstream = stage.row()
    model = stage.Scripted(upstream, lambda n: (0.0, "ok" if n else "over_budget"))
    model.retry_after = 86_400.0

    async def trial() -> None:
        whole = layer(stage, upstream, model)
        refused = error_of(await outcome(whole, stage.asked("x")))
        assert (refused.outcome, refused.retry_after) == ("over_budget", 86_400.0)
        assert isinstance(await outcome(whole, stage.asked("y")), Completion)

    stage.run(trial())


def test_a_stream_is_tried_again_before_its_first_piece_only(stage: Any) -> None:
    upstream = stage.row()
    early = stage.Scripted(upstream, lambda n: (0.1, "ok" if n else "reset"))
    got, whole = stage.run(pieces_of(layer(stage, upstream, early), stage.asked("x")))
    assert (got, whole.attempts, whole.micro_usd) == (["1"], 2, 20)
    late = stage.Scripted(upstream, lambda n: (0.1, "ok" if n else "reset"), pieces=3)
    got, error = stage.run(pieces_of(layer(stage, upstream, late), stage.asked("x")))
    assert got == ["0", "1", "2"]
    assert (error.outcome, error.attempts, error.micro_usd) == ("reset", 1, 10)
    assert error.upstream == upstream.name


def test_a_stream_that_stops_ends_by_the_deadline_and_one_that_is_left_gives_its_place_back(
    stage: Any,
) -> None:
    upstream = stage.row(at_once=1, timeout_s=5.0)
    model = stage.Scripted(upstream, lambda n: (0.1 if n > 1 else 1e6, "ok"), pieces=2)

    async def trial() -> None:
        whole = layer(stage, upstream, model)
        got, error = await pieces_of(whole, stage.asked("x"))
        assert (got, error.outcome) == (["0", "1"], "timeout")
        assert 5.0 <= stage.now() <= 5.05
        left = whole.stream(stage.asked("x"), SERVE)
        await anext(left)
        await left.aclose()
        assert (await pieces_of(whole, stage.asked("x")))[1].attempts == 1
        vectors, tokens = await whole.embed(["ab"], SERVE)
        assert (vectors, tokens.input) == ([[2.0]], 1)
        await whole.close()
        assert model.closed

    stage.run(trial())


def test_a_fallback_has_time_left_and_what_the_first_cost_is_counted(stage: Any) -> None:
    first_row = stage.row("big", timeout_s=4.0, fallback=("small",))
    other_row = stage.row("small", timeout_s=4.0)
    hanging = stage.Scripted(first_row, lambda _: (1e9, "ok"))
    good = stage.Scripted(other_row, ok, pieces=1)
    failing = stage.Scripted(first_row, lambda _: (0.1, "bad_key"))
    wrong = stage.Scripted(first_row, lambda _: (0.1, "bad_request"))

    def both(model: Any) -> FallingBack:
        first = layer(stage, first_row, model)
        return FallingBack(first, [layer(stage, other_row, good)], clock=stage.now)

    async def trial() -> None:
        found = await outcome(both(hanging), stage.asked("x"))
        assert isinstance(found, Completion)
        assert (found.upstream, found.attempts) == ("small", 2)
        assert 2.0 < stage.now() < 2.2, "half of the time each"
        found = await outcome(both(failing), stage.asked("x"))
        assert isinstance(found, Completion)
        assert found.micro_usd == 20
        got, whole = await pieces_of(both(failing), stage.asked("x"))
        assert (len(got), whole.upstream, whole.micro_usd) == (2, "small", 20)
        dead = both(stage.Scripted(first_row, lambda _: (0.0, "reset")))
        for _ in range(10):
            await outcome(dead, stage.asked("x"), IMPROVE)
        before = stage.now()
        assert isinstance(await outcome(dead, stage.asked("x"), IMPROVE), Completion)
        assert stage.now() - before == pytest.approx(0.1), "nobody waits for one that rests"
        refused = error_of(await outcome(both(wrong), stage.asked("x")))
        assert (refused.outcome, refused.upstream) == ("bad_request", "big")

    stage.run(trial())
