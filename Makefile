# make demo   train, evaluate and look at a small detector; needs no data
# make test   the whole test suite
# make test-fuzz     damaged files by the hundred
# make test-faults   damaged files by the hundred, trainings killed and resumed by the dozen
# make lint   style
# Both set up .venv first; PYTHON=python3.12 makes it from another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the environment was made from: when these change, it is made up to date.
INPUTS := requirements/lock.txt setup.py mdvision/version.py
DEMO := configs/emanet/faster_rcnn_minivoc.py
SEED ?= 0

.PHONY: demo test test-fuzz test-faults fault-table lint setup clean

setup: $(VENV)/.complete

# The stamp is written last, so a set-up that broke off is begun anew.
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

# One process a core, one thread each: more of either than cores is slower by far.
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
