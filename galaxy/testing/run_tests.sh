#!/bin/sh
# make test-galaxy: every test of the suite in a real Galaxy that is started and stopped for it.
# Needs a virtual environment with segnt_tools on the PATH; the options are those of run_tests.py.
exec python "$(dirname "$0")/run_tests.py" "$@"
