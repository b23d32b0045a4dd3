# wm_ros: what you can do here. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
WM_VENV ?= $(CURDIR)/.venv
export WM_VENV
WM = "$(WM_VENV)/bin/wm"
PY = "$(WM_VENV)/bin/python"

SCENE ?= home
TASK ?=
SEED ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test bench lint doctor docs colcon-build clean

help: ## this list
	@echo "wm_ros: a general world model for robot arms over ROS 2 and MoveIt"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-14s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'Variables: SCENE=home|office  TASK="close the drawer"  SEED=100  ARGS="more arguments"'
	@echo '           WM_VENV=folder of the Python environment  PYTHON=python to make it with'

setup: ## install everything that is missing (says what and why), build the interfaces
	@$(PYTHON) scripts/bootstrap

setup-dev: ## the same, and what the tests and checks need
	@$(PYTHON) scripts/bootstrap --dev

demo: setup ## a simulated room, the nodes, one instruction done by the arm; report in out/demo
	@$(WM) demo --scene "$(SCENE)" $(if $(TASK),--task "$(TASK)") $(if $(SEED),--seed $(SEED)) $(ARGS)

test: setup-dev ## all tests
	@$(PY) -m pytest $(ARGS)

bench: setup ## measure latency, throughput, planner, renderer, model and training
	@$(WM) bench $(ARGS)

lint: setup-dev ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m mypy

doctor: setup ## what this machine has and lacks, and what to do
	@$(WM) doctor || true

docs: setup ## write ROS names, Python API, MoveIt's files and the tables of scores from the code
	@$(PY) -m wm_ros.nodes.write_names
	@$(PY) -m wm_ros.write_api
	@$(PY) -m wm_ros.moveit_config
	@$(PY) -m wm_ros.evaluation.scores

colcon-build: setup-dev ## build the package with colcon in a fresh workspace, and check the result
	@$(PYTHON) scripts/colcon_build

clean: ## remove builds and caches, keep recordings and the Python environment
	@rm -rf build install log .pytest_cache .mypy_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
