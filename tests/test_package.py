# License: BSD-3-Clause
"""The package as a whole: what importing it loads, its public names and their documentation."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import operator
import os
import pkgutil
import re
import subprocess
import sys
import sysconfig
from importlib import metadata, resources
from pathlib import Path
from types import ModuleType

import pytest
from numpydoc.validate import validate

import mne_neurorvq
from mne_neurorvq.weights import list_pretrained

SUBMODULES = (
    "analysis",
    "benchmarks",
    "datasets",
    "estimators",
    "models",
    "signals",
    "tokens",
    "training",
    "viz",
    "weights",
)
# What numpydoc asks of every public docstring: see numpydoc.validate for the codes.
DOCSTRING_CHECKS = {
    "GL06",  # no unknown section
    "GL07",  # sections in order
    "GL08",  # there is a docstring
    "PR01",  # every parameter is documented
    "PR02",  # and none that does not exist
    "PR07",  # with a description
    "RT01",  # what is returned is documented
    "RT03",  # with a description
    "SS01",  # there is a summary
    "SS03",  # that ends with a full stop
    "YD01",  # what is yielded is documented
}
# As where none of the extras is installed.
HIDE_EXTRAS = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
absent = {"braindecode", "lightning", "pandas", "torchaudio", "yaml"}
PathFinder.find_spec = lambda name, *args: None if name in absent else find(name, *args)
"""
HEAVY = ("braindecode", "h5py", "lightning", "matplotlib", "mne", "pandas", "sklearn", "torch")


def _public_modules() -> list[ModuleType]:
    return [
        mne_neurorvq,
        *(importlib.import_module(f"mne_neurorvq.{name}") for name in SUBMODULES),
    ]


def _own_methods(cls: type) -> list[str]:
    """Public methods that a class defines itself, but for those that another library prescribes."""
    foreign = [base for base in cls.__mro__ if not base.__module__.startswith("mne_neurorvq")]
    return [
        name
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and inspect.isroutine(getattr(value, "__func__", value))
        and not any(hasattr(base, name) for base in foreign)
        # Made by scikit-learn for its metadata routing.
        and not (name.startswith("set_") and name.endswith("_request"))
    ]


def _documented(path: str, cls: type, method: str) -> str:
    """Path of a method or, where its docstring is inherited, of the method that has it."""
    if getattr(cls, method).__doc__:
        return f"{path}.{method}"
    own = (base for base in cls.__mro__ if method in vars(base))
    owner = next((base for base in own if getattr(base, method).__doc__), cls)
    return f"{owner.__module__}.{owner.__qualname__}.{method}"


def _is_result(value: object) -> bool:
    """Whether an object is a class that functions return: it has attributes and no parameters."""
    text = inspect.getdoc(value) or ""
    return inspect.isclass(value) and "Attributes\n---" in text and "Parameters\n---" not in text


def _resolve(path: str) -> object:
    return operator.attrgetter(path.partition(".")[2])(mne_neurorvq)


def _public_objects() -> list[str]:
    """Dotted paths of every public function, class and method."""
    paths = []
    for module in _public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value):
                paths.append(f"{module.__name__}.{name}")
            elif inspect.isclass(value):
                path = f"{module.__name__}.{name}"
                paths += [path, *(_documented(path, value, name) for name in _own_methods(value))]
    return sorted(set(paths))


def _modules_loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_no_heavy_library():
    assert not _modules_loaded_by("import mne_neurorvq").intersection(HEAVY)


@pytest.mark.parametrize("name", SUBMODULES)
def test_importing_a_submodule_loads_neither_braindecode_nor_matplotlib(name):
    loaded = _modules_loaded_by(f"import mne_neurorvq.{name}")
    assert not loaded.intersection({"braindecode", "matplotlib", "lightning"})


@pytest.mark.parametrize("name", ["signals", "tokens", "analysis"])
def test_the_layers_below_the_models_work_without_torch(name):
    loaded = _modules_loaded_by(
        f"import mne_neurorvq.{name} as m; [getattr(m, name) for name in m.__all__]"
    )
    assert "torch" not in loaded


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mne_neurorvq.no_such_name


@pytest.mark.parametrize("module", _public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_resolves(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) - {"__version__"} <= set(dir(module))


@pytest.mark.parametrize("module", _public_modules(), ids=lambda module: module.__name__)
def test_a_stub_declares_the_names_that_its_module_has(module):
    stub = Path(module.__file__).with_suffix(".pyi")
    if not stub.exists():
        assert Path(module.__file__).name != "__init__.py"
        return
    declared = [
        ast.literal_eval(node.value)
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    ]
    assert declared, f"{stub.name} of {module.__name__} has no __all__"
    assert sorted(declared[0]) == sorted(module.__all__)


@pytest.mark.parametrize("path", _public_objects())
def test_public_docstrings_are_complete(path):
    checked = validate(path)
    result = _is_result(_resolve(path))
    faults = [
        f"{code}: {text}"
        for code, text in checked["errors"]
        if code in DOCSTRING_CHECKS and not (result and code == "PR01")
    ]
    assert not faults


def test_every_function_and_class_that_is_called_shows_an_example():
    bare = [
        f"{module.__name__}.{name}"
        for module in _public_modules()
        for name in module.__all__
        if callable(value := getattr(module, name))
        and ">>>" not in (inspect.getdoc(value) or "")
        and not _is_result(value)
        and not (inspect.isclass(value) and issubclass(value, Exception))
    ]
    assert not bare


def test_the_version_is_that_of_the_installed_distribution():
    assert metadata.version("mne-neurorvq") == mne_neurorvq.__version__


def test_what_is_no_python_file_is_installed_too():
    package = resources.files("mne_neurorvq")
    assert package.joinpath("py.typed").is_file()
    bundled = package.joinpath("weights", "bundled")
    for model in bundled.iterdir():
        assert {"config.json", "README.md"} <= {file.name for file in model.iterdir()}
        assert any(file.name.endswith(".safetensors") for file in model.iterdir())


def test_the_command_is_installed():
    command = Path(sysconfig.get_path("scripts")) / "mne-neurorvq"
    done = subprocess.run(
        [command, "--help"], check=True, capture_output=True, text=True, timeout=120
    )
    assert "demo" in done.stdout


def test_the_examples_of_the_readme_run_without_any_extra_and_print_what_it_says(tmp_path):
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    first, further = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert sum(map(bool, first.splitlines())) == 6
    code = f"{HIDE_EXTRAS}\n{first}\n{further}\nprint(len(scores))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{said}4\n"
    assert (tmp_path / "rest-or-left" / "estimator.json").exists()


def test_the_readme_lists_the_models_of_the_registry_with_their_signals_and_licences():
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    registry = {entry.name: entry for entry in list_pretrained()}
    listed = []
    for row in re.findall(r"^\| (?:\w+RVQ|BioCodec) .*", text, flags=re.MULTILINE):
        system, names, signals, _, licence = (cell.strip() for cell in row.strip("| ").split(" | "))
        entries = [registry[name] for name in re.findall(r"`([^`]+)`", names)]
        listed += [entry.name for entry in entries]
        assert {entry.system for entry in entries} == {system.lower()}
        assert {entry.licence for entry in entries} == {licence}
        assert [entry.modality.upper() for entry in entries] == signals.split(", ")
    trained = [e.name for e in registry.values() if e.source in ("bundled", "official")]
    assert sorted(listed) == sorted(trained)


def test_the_api_reference_lists_every_public_name():
    text = (Path(__file__).resolve().parents[1] / "doc" / "api.rst").read_text()
    listed, module = set(), ""
    for line in text.splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            listed.add(f"{module}.{line.strip()}")
    public = {
        f"{module.__name__}.{name}"
        for module in _public_modules()
        for name in module.__all__
        if not inspect.ismodule(getattr(module, name)) and name != "__version__"
    }
    documented_once_as = {
        f"mne_neurorvq.{module}.{name}": f"mne_neurorvq.{name}"
        for module in SUBMODULES
        for name in mne_neurorvq.__all__
        if getattr(getattr(mne_neurorvq, module), name, None) is getattr(mne_neurorvq, name)
    }
    assert {documented_once_as.get(path, path) for path in public} == {
        documented_once_as.get(path, path) for path in listed
    }


def test_the_page_for_maintainers_names_modules_that_exist():
    text = (Path(__file__).resolve().parents[1] / "doc" / "contributing.rst").read_text()
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", text.replace("``", "")))
    known = {module.name for module in pkgutil.iter_modules(mne_neurorvq.__path__)}
    modules = {name for name in named if name.partition(".")[0] in known}
    assert {"encoding.matched_trials", "weights.systems", "models"} <= modules
    for name in modules:
        assert importlib.util.find_spec(f"mne_neurorvq.{name}"), name


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(said, expected):
    code = "import os, mne_neurorvq; print(os.environ.get('GOMP_SPINCOUNT'))"
    usual = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=usual | said,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == expected
