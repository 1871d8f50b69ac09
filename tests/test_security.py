"""Nothing from outside is run: no file of the package loads a pickle, evaluates text, or starts a shell."""

import ast
from pathlib import Path

import pytest

from tests.floors import PROJECT, floors

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "train.py", *sorted((ROOT / "mammo").rglob("*.py"))]
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "pty"}
BARE = {"eval", "exec", "compile", "__import__"}
METHODS = {
    *("os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "os.startfile"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "pd.read_pickle", "pandas.read_pickle"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.UnsafeLoader", "yaml.Loader"),
}
PROGRAMS = {"run", "Popen", "call", "check_call", "check_output"}  # of subprocess


def name_of(node):
    """The dotted name of an expression, as it is written."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call, name):
    return next(
        (one.value.value for one in call.keywords if one.arg == name and isinstance(one.value, ast.Constant)), None
    )


def faults(text):
    """Return what a file does that nothing from outside may reach, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        said = None
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            said = next((f"import {one}" for one in names if one.split(".")[0] in MODULES), None)
        elif isinstance(node, ast.Attribute) and name_of(node) in METHODS:
            said = name_of(node)
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in BARE:
                said = f"{name}()"
            elif name == "torch.load" and keyword(node, "weights_only") is not True:
                said = "torch.load without weights_only=True"
            elif name == "np.load" and keyword(node, "allow_pickle") is not False:
                said = "np.load without allow_pickle=False"
            elif keyword(node, "shell"):
                said = "shell=True"
        if said:
            found.append(f"{node.lineno}: {said}")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from joblib import load", "eval(x)", "exec(x)", "torch.load(p)", "np.load(p)",
        "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)", "subprocess.run(x, shell=True)",
        "os.system(x)", "yaml.load(x)", "yaml.load(x, Loader=yaml.Loader)", "pd.read_pickle(p)",
    ],
)  # fmt: skip
def test_the_walk_sees(text):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    ["net.eval()", "torch.load(p, weights_only=True)", "yaml.safe_load(x)", "re.compile(x)", "ast.literal_eval(x)"],
)
def test_the_walk_lets_pass(text):
    assert not faults(text)


def test_no_file_loads_a_pickle_evaluates_text_or_starts_a_shell():
    found = {str(path.relative_to(ROOT)): faults(path.read_text()) for path in FILES}
    assert {name: said for name, said in found.items() if said} == {}


def test_the_programs_that_are_started_are_known():
    """Each is a list of words, never text that a shell would read."""
    started = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and name_of(node.func) in {f"subprocess.{one}" for one in PROGRAMS}:
                started.add(str(path.relative_to(ROOT)))
                assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr), path
    assert {one for one in started if not one.startswith("mammo/bench/")} == {"mammo/runs/provenance.py"}


def test_the_floors_that_are_checked_are_those_of_the_project():
    found = floors(PROJECT.read_text())
    assert "torch==2.11.0" in found and "fastapi==0.115" in found and len(found) > 30
    assert floors('[project]\ndependencies=["a[b]>=1.2,<2", "c"]\n[project.optional-dependencies]\nd=["e>=3"]') == [
        "a==1.2",
        "e==3",
    ]
