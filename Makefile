# Set-up, the main job and the tests: `make annotate`, `make test`.

PYTHON ?= python3
VENV ?= .venv
RESULTS ?= results
PYTEST_ARGS ?=
DEMO = segnt_tools/data/demo/arabidopsis_chr1.fa.gz
BIN = $(abspath $(VENV))/bin
PYTEST = PATH="$(BIN):$$PATH" $(BIN)/pytest $(PYTEST_ARGS)

.PHONY: annotate test test-quick test-galaxy test-nextflow lint clean

annotate: $(VENV)/.runtime
	$(BIN)/segnt annotate $(DEMO) --out $(RESULTS)
	@echo
	@echo "Results in $(RESULTS)/:"
	@echo "  report.html       open this first: what was annotated, with a verdict and pictures"
	@echo "  genes.gff3        gene models (gene, mRNA, exon, CDS, UTR) with scores"
	@echo "  proteins.fa, cds.fa, transcripts.fa   their sequences"
	@echo "  elements.gff3, elements.bed           intervals of every element"
	@echo "  tracks/           per-base probabilities as bigWig, for a genome browser"
	@echo "  annotate.json     everything in numbers"

test: $(VENV)/.develop
	$(PYTEST)

test-quick: $(VENV)/.develop
	$(PYTEST) -m "not slow and not galaxy and not nextflow"

test-galaxy: $(VENV)/.develop
	SEGNT_REQUIRE_ENGINES=1 $(PYTEST) -m galaxy

test-nextflow: $(VENV)/.develop
	SEGNT_REQUIRE_ENGINES=1 $(PYTEST) -m nextflow

lint: $(VENV)/.develop
	$(PYTEST) tests/test_code_style.py

clean:
	rm -rf $(VENV) $(RESULTS) *.egg-info

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade -c constraints.txt pip
	touch $@

$(VENV)/.runtime: $(VENV)/.pip setup.cfg constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.develop: $(VENV)/.runtime
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[train,test]"
	touch $@
