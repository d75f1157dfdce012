"""Find what is wrong in a GFF3 or GTF file.

Prints one line a finding: the rule's code, file and line, the feature, and what is wrong with it. Codes begin with E
for errors, W for warnings (unusual or unwise, but usable) and I for information. With --genome the bounds are checked
against the sequences, and every CDS is translated: start codon, stop codon, stop codons inside, length.

Exit status: 0 no error (warnings may have been printed); 1 errors; 2 the file cannot be read or is neither GFF3 nor
GTF.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from segnt_tools import __version__
from segnt_tools.commands.common import add_common_options, positive_int, print_line, write_report
from segnt_tools.errors import UsageError
from segnt_tools.gff import rules
from segnt_tools.gff.checking import CheckResult, check_file
from segnt_tools.gff.rules import Finding, Rule, Severity
from segnt_tools.gff.sequences import genetic_code
from segnt_tools.logs import logger
from segnt_tools.sequence.assembly import Assembly


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of segnt check-gff."""
    parser.add_argument("gff", nargs="?", type=Path, metavar="GFF", help="GFF3 or GTF file, plain or gzipped")
    parser.add_argument("--genome", type=Path, metavar="FASTA", help="the genome, FASTA or a preprocess folder")
    parser.add_argument(
        "--genetic-code", type=positive_int, default=1, metavar="N", help="NCBI's number of the genetic code"
    )
    parser.add_argument(
        "--splice-sites",
        action="store_true",
        help="with --genome: also list introns that are not GT-AG, GC-AG or AT-AC",
    )
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="how findings are printed")
    parser.add_argument("--rules", action="store_true", help="list all rules and stop")
    add_common_options(parser, threads=False)


def run(args: argparse.Namespace) -> int:
    """Check the file and print what was found."""
    if args.rules:
        for rule in _all_rules():
            print_line(f"{rule.code}\t{rule.severity}\t{rule.title}")
        return 0
    if args.gff is None:
        raise UsageError("no file to check", hint="Run 'segnt check-gff --help'")
    genetic_code(args.genetic_code)
    with ExitStack() as stack:
        genome = None if args.genome is None else stack.enter_context(Assembly.open(args.genome))
        result = check_file(args.gff, genome, args.genetic_code, splice_sites=args.splice_sites)
    _PRINTERS[args.format](result)
    _log_summary(result)
    write_report(args.json, "check-gff", _as_json(result))
    return 0 if result.good else 1


def _all_rules() -> list[Rule]:
    found = [value for value in vars(rules).values() if isinstance(value, Rule)]
    return sorted(found, key=lambda rule: rule.code)


def _log_summary(result: CheckResult) -> None:
    counts = Counter(finding.rule for finding in result.findings)
    for rule, count in sorted(counts.items(), key=lambda item: item[0].code):
        logger.info("%s  %d x %s", rule.code, count, rule.title)
    logger.info(
        "%s (%s, %d features): %d errors, %d warnings",
        result.path,
        result.dialect,
        result.features,
        result.count(Severity.ERROR),
        result.count(Severity.WARNING),
    )
    if result.foreign:
        logger.warning(
            "the genome has none of the file's sequences: give the genome that the file was made for, or rename them"
        )


def _print_text(result: CheckResult) -> None:
    for one in result.findings:
        print_line(f"{one.rule.code} {result.path}:{one.line} {one.feature or '-'}: {one.message}")


def _print_json(result: CheckResult) -> None:
    print_line(json.dumps(_as_json(result), indent=2, ensure_ascii=False))


def _as_json(result: CheckResult) -> dict[str, Any]:
    return {
        "file": str(result.path),
        "format": result.dialect.value,
        "features": result.features,
        "errors": result.count(Severity.ERROR),
        "warnings": result.count(Severity.WARNING),
        "findings": [
            {
                "code": one.rule.code,
                "severity": one.rule.severity.value,
                "line": one.line,
                "feature": one.feature,
                "message": one.message,
            }
            for one in result.findings
        ],
    }


_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def _print_sarif(result: CheckResult) -> None:
    """SARIF 2.1.0, which code hosts and editors show beside the lines."""
    used = sorted({one.rule for one in result.findings}, key=lambda rule: rule.code)
    driver = {
        "name": "segnt check-gff",
        "version": __version__,
        "rules": [
            {
                "id": rule.code,
                "shortDescription": {"text": rule.title},
                "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
            }
            for rule in used
        ],
    }
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_sarif_result(result.path, one) for one in result.findings]}],
    }
    print_line(json.dumps(document, indent=2, ensure_ascii=False))


def _sarif_result(path: Path, one: Finding) -> dict[str, Any]:
    message = f"{one.feature}: {one.message}" if one.feature else one.message
    place = {"artifactLocation": {"uri": path.as_posix()}, "region": {"startLine": max(one.line, 1)}}
    return {
        "ruleId": one.rule.code,
        "level": _SARIF_LEVELS[one.rule.severity],
        "message": {"text": message},
        "locations": [{"physicalLocation": place}],
    }


_PRINTERS = {"text": _print_text, "json": _print_json, "sarif": _print_sarif}
