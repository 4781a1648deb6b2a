"""What an audit found, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from futures_agent.errors import ExitCode

# Check → what it runs again, and what to do about a difference.
_MEANINGS = {
    "prefix": (
        "on bars cut at random closes",
        "the step knows something of the future: let it use nothing but state, bar and params",
    ),
    "again": (
        "a second time on the same bars",
        "the step uses what is not in its state: a global, a cache, a file, the clock, chance",
    ),
    "order": (
        "with the symbols in another order",
        "one symbol's run leaves something behind for another's: keep it in `state`",
    ),
    "observe": (
        "what a policy would judge the entries by",
        "observe fills in a finite number per name, and leaves the state as it is",
    ),
    "compiled": (
        "plain beside compiled",
        "keep to + − × ÷, abs, min, max, floor, sqrt, comparisons; store no fraction in a whole-number field",
    ),
    "account": (
        "the whole simulation, cut",
        "if the checks above are clean, this is a fault of the engine: please report it with the seed",
    ),
    "calendar": (
        "52 weeks earlier",
        "the step decides by the date (months, a table, a file): what it looks up must have been known then",
    ),
    "foresight": (
        "how often price went the way of an entry",
        "too good to be true: look for a table or a file that holds what came later",
    ),
}
WARNINGS = frozenset({"calendar", "foresight"})
_LEAST_ENGAGED = 0.1  # of the comparisons; below, almost nothing was compared


class Finding(Struct, frozen=True, kw_only=True):
    """The first place at which two runs that should be the same are not."""

    symbol: str | None  # None: the account, or all symbols
    timeframe: str | None
    bar: str | None  # open time, UTC; None: the step raised
    what: (
        str  # bar: what it was shown; feature: its state; decision: its signal; observation; step: it raised;
    )
    # entry, exit, equity: of the account; foresight
    field: str
    whole: bool | int | float | str  # in the run over all bars
    other: bool | int | float | str
    cut: str | None = None  # the second run saw what was known then

    @property
    def text(self) -> str:
        """One line for a person."""
        whose = self.symbol or ("all symbols" if self.what == "foresight" else "account")
        place = " ".join(part for part in (whose, self.timeframe) if part)
        when = f", bar of {self.bar}" if self.bar else ""
        known = f" with what was known at {self.cut}" if self.cut else ""
        return (
            f"{place}{when}: {self.what} {self.field}: {_shown(self.whole)}, but {_shown(self.other)}{known}"
        )


class Check(Struct, kw_only=True):
    """One way of running a strategy again.

    Parameters
    ----------
    name : str
    planned, engaged : int
        Comparisons that were made, and those in which there was an entry to compare.
    findings : list of Finding
        Per symbol and kind the earliest.
    """

    name: str
    planned: int = 0
    engaged: int = 0
    findings: list[Finding] = field(default_factory=list)

    def compared(self, *, engaged: bool) -> None:
        """Count one comparison."""
        self.planned += 1
        self.engaged += engaged

    def add(self, finding: Finding) -> None:
        """Keep `finding` unless an earlier one of its symbol and kind is known."""
        for place, known in enumerate(self.findings):
            if (known.symbol, known.what) == (finding.symbol, finding.what):
                if (finding.bar or "") < (known.bar or ""):
                    self.findings[place] = finding
                return
        self.findings.append(finding)

    @property
    def word(self) -> str:
        """The verdict of this check."""
        if self.findings:
            return "warns" if self.name in WARNINGS else "DIFFERS"
        if not self.engaged:
            return "no entry to compare"
        return "same" if self.conclusive else "too few entries"

    @property
    def conclusive(self) -> bool:
        """Whether there was an entry to compare, and that in a tenth of the comparisons at least."""
        return self.engaged > 0 and self.engaged >= _LEAST_ENGAGED * self.planned


class AuditReport(Struct, frozen=True, kw_only=True):
    """Everything an audit did and found."""

    strategy: str
    seed: int
    symbols: tuple[str, ...]
    symbols_in_all: int
    bars: int
    features: int  # numbers in the state
    compared_every: int  # the state was compared at every so many bars
    checks: tuple[Check, ...]
    outside: tuple[str, ...]  # data that the step reaches besides its arguments
    failures: tuple[str, ...]  # symbols on which the strategy raised
    outside_accepted: bool = False  # a person says that `outside` knows nothing of the future

    @property
    def code(self) -> ExitCode:
        """OK; AUDIT_FAILED where a run differs; FAILED where too little was compared, or could be."""
        if any(check.findings for check in self._judging):
            return ExitCode.AUDIT_FAILED
        proven = self._compared_enough and (self.outside_accepted or not self._suspects)
        return ExitCode.OK if proven else ExitCode.FAILED

    @property
    def _judging(self) -> list[Check]:
        return [check for check in self.checks if check.name not in WARNINGS]

    @property
    def _compared_enough(self) -> bool:
        return all(check.conclusive for check in self._judging)

    @property
    def _suspects(self) -> tuple[str, ...]:
        """What may hold the future: data of the step's own, where a warning says that they decide."""
        return self.outside if any(check.word == "warns" for check in self.checks) else ()

    @property
    def verdict(self) -> str:
        """CLEAN (with warnings or without), FAILED or INCONCLUSIVE."""
        if self.code is ExitCode.AUDIT_FAILED:
            return "FAILED"
        if self.code is ExitCode.FAILED:
            return "INCONCLUSIVE"
        warnings = (
            sum(check.word == "warns" for check in self.checks) + len(self.outside) + len(self.failures)
        )
        return f"CLEAN, BUT FOR {warnings} WARNING{'S' * (warnings > 1)}" if warnings else "CLEAN"

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        features = f"{self.features} numbers of state"
        if self.compared_every > 1:
            features += f" (at one bar in {self.compared_every})"
        yield (
            f"audit of {self.strategy}: {len(self.symbols)} of {self.symbols_in_all} symbols, "
            f"{self.bars:,} bars, {features}, seed {self.seed}"
        )
        for check in self.checks:
            meaning, advice = _MEANINGS[check.name]
            yield f"  {check.name:<9} {check.word:<8} {check.engaged}/{check.planned} engaged; {meaning}"
            yield from (f"            {finding.text}" for finding in check.findings)
            if check.findings:
                yield f"            → {advice}"
        for name in self.outside:
            yield f"  warning: the step reads {name}: harmless if it never changes and was known at all times"
        yield from (f"  warning: left out, {failure}" for failure in self.failures)
        yield f"audit {self.verdict}: {self._conclusion()}"

    def _conclusion(self) -> str:
        if self.code is ExitCode.AUDIT_FAILED:
            return "decisions, features or money depend on more than the bars that had closed"
        if not self._compared_enough:
            return "the strategy decided too little to be judged; take more symbols or a longer period"
        if self.code is ExitCode.FAILED:
            return (
                "what the step reads besides bars may hold the future; make it an input of the strategy, or "
                "see that all of it was known at the time and add --accept-outside-data"
            )
        same = "every bar, feature, decision and trade was the same without the future"
        brings_its_own = self.outside or any(check.word == "warns" for check in self.checks)
        return f"{same} bars; what the step knows besides bars is not proven" if brings_its_own else same


def _shown(value: bool | int | float | str) -> str:
    return repr(value) if isinstance(value, float) else str(value)
