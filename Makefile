# make demo          train and evaluate a small detector and plot the results; needs no data
# make quick         units, configs and the layout, in a minute
# make test          the whole test suite
# make test-fuzz     hundreds of damaged files
# make test-faults   hundreds of damaged files, dozens of runs killed and resumed
# make lint          style
# Each sets up .venv first; PYTHON=python3.12 creates it with another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment is updated when one of these changes.
INPUTS := requirements/lock.txt setup.py mdvision/version.py
DEMO := configs/emanet/faster_rcnn_minivoc.py
SEED ?= 0
# Tests without trainings, processes and large models.
QUICK := tests/test_structure.py tests/test_findings.py tests/test_cpu.py tests/test_config_files.py \
    tests/config/test_overrides.py tests/commands/test_switches.py tests/config/test_fill.py \
    tests/evaluation/test_voc_ap.py tests/evaluation/test_confusion.py tests/datasets/test_voc_annotation.py \
    tests/annotations/test_reading.py \
    tests/models/test_attention.py tests/models/test_mdnet.py tests/models/test_label_smooth.py \
    tests/compare/test_compare_statistics.py tests/checkpoints/test_checkpoint.py tests/records

.PHONY: demo quick test test-fuzz test-faults fault-table lint setup clean

setup: $(VENV)/.complete

# The stamp is written last, so an interrupted setup starts over.
$(VENV)/.complete: $(INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "mdvision needs Python 3.10 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	@rm -f $@
	@$(BIN)/python -c 'import pip' 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements/lock.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	$(BIN)/python -m pip check
	@touch $@

demo: setup
	$(BIN)/python tools/train.py $(DEMO) --seed $(SEED)

# One process per core, one thread per process: oversubscribing the cores is much slower.
quick: setup
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal -q $(QUICK)

test: setup
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal -q

test-fuzz: setup
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal -q -m fuzz

test-faults: setup
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal -q -m 'fuzz or kills'

fault-table: setup
	OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest -n 2 --dist worksteal -q --fault-table

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) work_dirs build *.egg-info
