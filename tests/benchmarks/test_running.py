# License: BSD-3-Clause
"""A run of the benchmark: MOABB's scores, each cell once, whoever runs it and is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from optional_library import import_or_skip

import_or_skip("moabb", "benchmark")

from joblib import parallel_config
from moabb.evaluations import CrossSubjectEvaluation
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tiny_task import PARADIGM, TinyHands, add_task, write_pipeline
from torch.nn.modules.module import register_module_forward_pre_hook

from mne_neurorvq.benchmarks import TASKS, Plan, Windows, run
from mne_neurorvq.benchmarks.cells import Trials, _seeded
from mne_neurorvq.benchmarks.groups import _digests
from mne_neurorvq.benchmarks.pipeline_files import read_pipeline
from mne_neurorvq.benchmarks.report import write_report
from mne_neurorvq.benchmarks.results import people_scores, read_results
from mne_neurorvq.benchmarks.running import _seen
from mne_neurorvq.encoding.memory import IN_PROCESS
from mne_neurorvq.models import NeuroRVQ
from mne_neurorvq.weights.provenance import pretraining_subjects

# MOABB creates a table of its results without saying of which type.
pytestmark = pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype")

COUNTED = """
from pathlib import Path
import time
class Counted(LinearProbe):
    def __init__(self, log="", seconds=0.0):
        super().__init__()
        self.log, self.seconds = log, seconds
    def fit(self, X, y, subjects=None):
        with Path(self.log).open("a") as file:
            file.write("fit\\n")
        time.sleep(self.seconds)
        return super().fit(X, y, subjects=subjects)
"""
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
from tiny_task import add_task
from mne_neurorvq.benchmarks import Plan, run
add_task()
run(Plan(Path({out!r}), ("tiny",), ("counted",), folder=Path({folder!r}), folds=2, seeds=(0, 1)))
"""


@pytest.fixture(autouse=True)
def tiny():
    """The task, for as long as a test takes."""
    before = dict(TASKS)
    add_task()
    yield
    TASKS.clear()
    TASKS.update(before)


@pytest.fixture
def plan(tmp_path):
    folder = tmp_path / "pipelines"
    write_pipeline(folder, "probe", "LinearProbe()")
    return Plan(tmp_path / "run", ("tiny",), ("probe",), folder=folder, folds=2)


def counted(tmp_path, seconds=0.0):
    """Write a pipeline that notes each fit; give its folder and the notes."""
    log = tmp_path / "fits.txt"
    code = f"Counted({str(log)!r}, {seconds})"
    write_pipeline(tmp_path / "pipelines", "counted", code, COUNTED)
    return tmp_path / "pipelines", log


def lines_of(plan):
    lines = []
    run(plan, say=lines.append)
    return lines


def contents(out):
    return {
        str(path.relative_to(out)): {
            key: json.loads(path.read_text())[key] for key in ("trials", "classes")
        }
        for path in out.glob("cells/*/*/*.json")
    }


def test_scores_are_those_of_moabb_on_the_same_folds_to_the_digit(plan, tmp_path):
    hard = {"n_people": 6, "loud": 1.2}  # where everything is right, no fold differs from another
    add_task(**hard)
    plan = replace(plan, seeds=(3,))
    run(plan, say=lambda line: None)
    cells = read_results(plan.out)
    dataset = TinyHands(**hard)
    evaluation = CrossSubjectEvaluation(
        PARADIGM,
        [dataset],
        return_epochs=True,
        random_state=3,
        n_splits=2,
        cv_class=GroupKFold,
        cv_kwargs={"shuffle": True},
        hdf5_path=str(tmp_path / "moabb"),
    )
    pipeline = read_pipeline(plan.folder / "probe.py")[0]
    (process,) = PARADIGM.make_process_pipelines(dataset, return_epochs=True)
    found = evaluation.evaluate(dataset, {"x": pipeline}, None, process)
    theirs = [result["score"] for result in found]
    assert [cell["moabb"][0]["score"] for cell in cells] == theirs
    # The predictions that everything is computed from are those that MOABB scored.
    ours = [
        balanced_accuracy_score(cell["trials"]["y"], cell["trials"]["predicted"]) for cell in cells
    ]
    assert ours == theirs
    assert 0.5 < min(theirs) < max(theirs) < 1, "scores that tell folds apart"


def test_every_person_is_tested_once_a_seed_and_never_trained_on_then(plan):
    run(replace(plan, seeds=(0, 3)), say=lambda line: None)
    cells = read_results(plan.out)
    for seed in (0, 3):
        own = [cell for cell in cells if cell["seed"] == seed]
        tested = [person for cell in own for person in set(cell["trials"]["subject"])]
        assert sorted(tested) == ["P1", "P2", "P3", "P4"]
        for cell in own:
            assert not set(cell["trained_people"]) & set(cell["trials"]["subject"])
    folds = [
        [sorted(set(c["trials"]["subject"])) for c in cells if c["seed"] == seed] for seed in (0, 3)
    ]
    assert folds[0] != folds[1]


def test_what_is_finished_is_not_computed_again(plan):
    first = lines_of(plan)
    assert len(first) == 2
    assert first[0].startswith("tiny probe, share 1, seed 0, fold 0: ")
    assert first[1].endswith("; finished")
    before = contents(plan.out)
    assert lines_of(plan) == []
    next(plan.out.glob("cells/*/*/*fold1*.json")).unlink()
    assert len(lines_of(plan)) == 1
    assert contents(plan.out) == before


def test_other_people_or_parameters_are_other_cells_and_are_not_mixed(plan, tmp_path):
    other = replace(plan, out=tmp_path / "other")
    run(other, say=lambda line: None)
    write_pipeline(plan.folder, "probe", 'LinearProbe("ridge")')
    assert len(lines_of(plan)) == 2
    with pytest.raises(ValueError, match=r"of two runs .* and what is asked for now"):
        run(other, say=lambda line: pytest.fail("the first cell is run already"))
    shutil.copytree(other.out, plan.out, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="cells of probe on tiny of two runs") as told:
        read_results(plan.out)
    # Which files are meant is said by what they are of.
    for path in plan.out.glob("cells/*/*/*fold0*.json"):
        parameters = json.loads(path.read_text())["parameters"]
        ending = path.stem.rpartition("-")[2]
        assert f"*-{ending}.json (2 folds of 4 people, {parameters})" in str(told.value)


@pytest.mark.parametrize("change", [{"folds": 3}, {"subjects": ("P1", "P2")}])
def test_pipelines_with_other_people_or_folds_are_not_compared(plan, tmp_path, change):
    TASKS["tiny"] = replace(
        TASKS["tiny"], dataset=lambda data, people: TinyHands(4 if people is None else len(people))
    )
    write_pipeline(plan.folder, "nothing", "DummyClassifier(strategy='most_frequent')")
    run(plan, say=lambda line: None)
    other = replace(plan, pipelines=("nothing",), **change)
    with pytest.raises(ValueError, match="cells of probe and nothing on tiny with different"):
        run(other, say=lambda line: pytest.fail("the first cell is run already"))
    run(replace(other, out=tmp_path / "other"), say=lambda line: None)
    shutil.copytree(tmp_path / "other", plan.out, dirs_exist_ok=True)
    with pytest.raises(ValueError, match="cells of nothing and probe on tiny with different"):
        read_results(plan.out)
    # Of cells that do not say it, it is not known.
    for path in plan.out.glob("cells/*/*/*.json"):
        cell = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in cell.items() if k != "protocol"}))
    assert len(read_results(plan.out)) == 2 + change.get("folds", 2)


def test_the_number_of_folds_is_that_of_the_plan_when_some_are_not_finished(plan):
    run(replace(plan, folds=4, controls=("", "identity")), say=lambda line: None)
    for path in plan.out.glob("cells/*/*/plain*fold[23]*.json"):
        path.unlink()
    found = {(cell["control"], cell["n_folds"]) for cell in read_results(plan.out)}
    assert found == {("", 4), ("identity", 2)}


def test_controls_are_run_with_the_largest_share_only(plan):
    run(replace(plan, shares=(0.5, 1.0), controls=("", "permuted")), say=lambda line: None)
    found = [(cell["control"], cell["share"]) for cell in read_results(plan.out)]
    assert sorted(found) == [("", 0.5)] * 2 + [("", 1.0)] * 2 + [("permuted", 1.0)] * 2


def test_cells_are_told_by_all_numbers_of_an_array_and_not_by_the_scorer():
    def facts(weights, scorer):
        step = FunctionTransformer(kw_args={"weights": weights})
        return _digests(make_pipeline(step), Windows({"left": ["l"]}, duration=1.0, scorer=scorer))

    ones = np.ones(2000)
    changed = np.where(np.arange(2000) == 1000, 1 + 1e-12, 1.0)
    assert facts(ones, lambda *_: 0) == facts(ones.copy(), lambda *_: 1)
    assert facts(ones, None) != facts(changed, None)


def test_a_task_that_lacks_people_who_are_named_is_said(plan, tmp_path):
    lines = []
    run(replace(plan, tasks=(), data=tmp_path, subjects=("S099",)), say=lines.append)
    assert any("left out imagery: " in line and "of S099" in line for line in lines)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(plan, tmp_path):
    folder, _ = counted(tmp_path, seconds=0.5)
    code = RUN.format(
        support=str(Path(__file__).parents[1] / "support"), out=str(plan.out), folder=str(folder)
    )
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code])
    deadline = time.monotonic() + 120
    while not list(plan.out.glob("cells/*/*/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(contents(plan.out))
    assert 1 <= done < 4
    again = replace(plan, pipelines=("counted",), seeds=(0, 1))
    assert len(lines_of(again)) == 4 - done
    whole = replace(again, out=tmp_path / "whole")
    run(whole, say=lambda line: None)
    assert contents(plan.out) == contents(whole.out)


@pytest.mark.slow
def test_processes_that_run_the_same_do_no_work_twice(plan, tmp_path):
    folder, log = counted(tmp_path, seconds=0.3)
    code = RUN.format(
        support=str(Path(__file__).parents[1] / "support"), out=str(plan.out), folder=str(folder)
    )
    both = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len(contents(plan.out)) == 4
    assert log.read_text().count("fit") == 4


def test_labels_shuffled_within_people_give_chance(plan):
    run(replace(plan, controls=("", "permuted"), seeds=tuple(range(6))), say=lambda line: None)
    means = people_scores(read_results(plan.out)).groupby("control")["balanced_accuracy"].mean()
    assert means[""] > 0.8
    assert abs(means["permuted"] - 0.5) < 0.1  # 288 trials tested


def test_labels_are_shuffled_within_each_person_by_the_seed():
    trials = Trials.read(TASKS["tiny"], TinyHands())
    people = trials.metadata["subject"].to_numpy()
    # One class more often, in one person: it must stay theirs.
    trials.labels[np.flatnonzero(people == "P2")[:5]] = "left"
    shuffled = trials.under("permuted", 3).labels
    for person in np.unique(people):
        own = people == person
        assert sorted(shuffled[own]) == sorted(trials.labels[own])
        assert (shuffled[own] != trials.labels[own]).any()
    np.testing.assert_array_equal(shuffled, trials.under("permuted", 3).labels)
    assert (shuffled != trials.under("permuted", 4).labels).any()


def one_hand(number, raw):
    """Leave the left hand to the first and third person, the right to the others."""
    raw.annotations.rename(
        {"right_hand": "left_hand"} if number % 2 else {"left_hand": "right_hand"}
    )


def test_people_of_one_class_exchange_theirs_where_labels_are_shuffled():
    trials = Trials.read(TASKS["tiny"], TinyHands(6, change=one_hand))
    people = trials.metadata["subject"].to_numpy()
    drawn = set()
    for seed in range(8):
        labels = trials.under("permuted", seed).labels
        kinds = [np.unique(labels[people == person]).tolist() for person in np.unique(people)]
        assert sorted(kinds) == [["left"]] * 3 + [["right"]] * 3
        drawn.add(str(kinds))
    assert len(drawn) > 1


def test_values_that_are_not_finite_are_refused_with_person_and_run():
    def spoil(number, raw):
        if number == 2:
            raw._data[0, 300] = np.nan

    with pytest.raises(ValueError, match=r"run 0 of P2 has values that are not finite.*--subjects"):
        Trials.read(TASKS["tiny"], TinyHands(change=spoil))


def test_a_single_class_is_refused():
    def left(number, raw):
        raw.annotations.rename({"right_hand": "left_hand"})

    task = replace(
        TASKS["tiny"], paradigm=Windows({"left": ["left_hand"]}, duration=2.0, fmax=40.0)
    )
    with pytest.raises(ValueError, match="all 48 trials are of the class left: there is nothing"):
        Trials.read(task, TinyHands(change=left))


def test_a_class_that_only_those_tested_have_is_named_with_them(plan):
    def only_third(number, raw):
        if number != 3:
            raw.annotations.rename({"right_hand": "left_hand"})

    add_task(change=only_third)
    with pytest.raises(RuntimeError, match=r"trained on in fold . has the class right, .* in P3: "):
        run(replace(plan, folds=4), say=lambda line: None)


@pytest.mark.parametrize(
    ("n_people", "control", "who"),
    [(1, "", "P1"), (2, "identity", "run 0")],
    ids=["people", "runs"],
)
def test_one_person_or_run_cannot_be_split(plan, n_people, control, who, monkeypatch):
    monkeypatch.setattr("tiny_task.N_RUNS", 1)
    add_task(n_people=n_people)
    with pytest.raises(RuntimeError, match=f"there is {who} alone, .* at least two are needed"):
        run(replace(plan, controls=(control,)), say=lambda line: None)


@pytest.mark.slow
def test_processes_know_a_task_of_ones_own(plan):
    TASKS["mine"] = replace(TASKS["tiny"], dataset=lambda data, people: TinyHands())
    run(replace(plan, tasks=("mine",)), n_jobs=2)
    assert len(contents(plan.out)) == 2


def test_as_many_processes_as_there_are_is_at_least_one(plan):
    with parallel_config(backend="sequential"):
        run(plan, n_jobs=-1, say=lambda line: None)
    assert len(contents(plan.out)) == 2
    with pytest.raises(ValueError, match="n_jobs == 0"):
        run(plan, n_jobs=0)


def test_whom_a_model_had_seen_is_looked_up_by_data_set():
    model, others = "neurorvq-eeg-small", SimpleNamespace(code="Other", subject_list=[1])
    graz = SimpleNamespace(code="PhysionetMotorImagery", subject_list=[9, 60])
    assert "S009" in pretraining_subjects(model)["eegmmidb"]

    def seen(model, dataset, **file):
        return _seen(SimpleNamespace(model=model, dataset=dataset, **{"seen": {}, **file}))

    assert seen(model, graz) == ["9"]
    assert seen(model, others) is None  # nobody has said which data set it is
    assert seen(f"{model}-random", others) == seen(None, others) == []
    # What a file has says it itself.
    assert seen(None, graz, seen=None) is None
    assert seen(None, graz, seen={"eegmmidb": ["S060", "S061"]}) == ["60"]


def test_chance_in_training_depends_on_seed_and_fold_only():
    pipeline = make_pipeline(SGDClassifier())
    states = [
        _seeded(pipeline, *where).get_params()["sgdclassifier__random_state"]
        for where in ((0, 1), (0, 1), (1, 0), (0, 0))
    ]
    assert states[0] == states[1]
    assert len(set(states)) == 3
    assert pipeline.get_params()["sgdclassifier__random_state"] is None


def test_identity_is_who_it_is_in_runs_that_were_not_trained_on(plan):
    run(replace(plan, controls=("identity",)), say=lambda line: None)
    cells = read_results(plan.out)
    assert [cell["classes"] for cell in cells] == [["P1", "P2", "P3", "P4"]] * 2
    assert [set(cell["trials"]["subject"]) for cell in cells] in (
        [{"run 0"}, {"run 1"}],
        [{"run 1"}, {"run 0"}],
    )
    # Their amplifiers have different gains, which scaling within a run leaves.
    assert people_scores(cells)["balanced_accuracy"].min() > 0.5  # chance is 0.25


@pytest.mark.slow
def test_a_network_is_stopped_on_as_many_people_as_there_are(plan):
    import_or_skip("braindecode")
    run(replace(plan, pipelines=("shallow_convnet",), folds=4), say=lambda line: None)
    assert len(contents(plan.out)) == 4


def test_a_recording_under_two_names_is_refused(plan):
    add_task("twins", n_people=2, twins=True)
    with pytest.raises(RuntimeError, match=r"of P[12] is trained on as .* a recording twice"):
        run(replace(plan, tasks=("twins",)), say=lambda line: None)


def test_one_pipeline_that_fails_does_not_end_the_others(plan):
    write_pipeline(plan.folder, "broken", "LinearProbe('cubic')")
    lines = []
    several = replace(plan, pipelines=("broken", "probe"), seeds=(0, 1))
    message = r"^failed: tiny broken, share 1, seed 0, fold 0 and 1 more: .* kind='cubic'"
    with pytest.raises(RuntimeError, match=message):
        run(several, say=lines.append)
    # Where all folds of a seed fail, the next is not tried.
    assert [line.startswith("FAILED") for line in lines] == [True] * 2 + [False] * 4


def test_a_cell_that_fails_does_not_end_the_others_of_its_pipeline(plan):
    few = """
class Many(LinearProbe):
    least = 10
    def fit(self, X, y, subjects=None):
        if len(y) < self.least:
            raise ValueError(f"{len(y)} trials are too few")
        return super().fit(X, y, subjects=subjects)
"""
    write_pipeline(plan.folder, "many", "Many()", few)
    shares = replace(plan, pipelines=("many",), shares=(0.25, 0.5, 1.0))
    lines = []
    with pytest.raises(RuntimeError, match=r"share 0.25, seed 0, fold 0 and 1 more: .* 6 trials"):
        run(shares, say=lines.append)
    assert [line.startswith("FAILED") for line in lines] == [True] * 2 + [False] * 4
    note = "## Not run\n\n- tiny many, share 0.25, seed 0, fold 0 and 1 more: ValueError: 6 trials"
    assert note in write_report(plan.out)
    write_pipeline(plan.folder, "many", "Many()", few.replace("10", "1"))
    run(shares, say=lines.append)
    assert len(lines) == 8
    assert "Not run\n" not in write_report(plan.out)


def test_a_task_that_cannot_be_read_is_read_once(plan):
    times = []

    def spoil(number, raw):
        times.append(number)
        raw._data[0, 300] = np.nan

    add_task(change=spoil)
    with pytest.raises(RuntimeError, match="not finite"):
        run(plan, say=lambda line: None)
    assert len(times) == 8  # two runs of each of four people


@pytest.mark.slow
def test_a_failure_in_one_process_does_not_end_another(plan):
    write_pipeline(plan.folder, "broken", "LinearProbe('cubic')")
    write_pipeline(
        plan.folder,
        "slow",
        "Slow()",
        """
import time
class Slow(LinearProbe):
    def fit(self, X, y, subjects=None):
        time.sleep(1)
        return super().fit(X, y, subjects=subjects)
""",
    )
    with pytest.raises(RuntimeError, match="kind='cubic'"):
        run(replace(plan, pipelines=("broken", "slow"), folds=4), n_jobs=2)
    assert len(contents(plan.out)) == 4


@pytest.mark.filterwarnings("ignore:the model was made for the reference .average.")  # six channels
def test_what_was_named_and_is_left_out_is_said(plan):
    named = replace(plan, pipelines=("probe", "physiology", "time_domain"))
    lines = lines_of(replace(named, models=("neurorvq-eeg-tiny-random", "neurorvq-ecg-small")))
    assert lines[:4] == [
        "left out physiology with neurorvq-eeg-tiny-random: the model gives no physiology",
        "left out physiology with neurorvq-ecg-small-random: the model gives no physiology",
        "left out neurorvq-ecg-small on tiny: it is for ecg",
        "left out time_domain on tiny: it is for emg and ecg",
    ]
    assert all(line.startswith("tiny probe") for line in lines[4:])


def test_where_nothing_is_left_to_run_the_reasons_are_told(plan, tmp_path):
    alone = replace(plan, pipelines=("physiology",), models=("neurorvq-eeg-tiny-random",))
    with pytest.raises(ValueError, match=r"nothing is left to run: physiology .* gives no"):
        run(alone, say=lambda line: None)
    del TASKS["tiny"]
    nowhere = replace(plan, tasks=(), data=tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} has no recordings of a task"):
        run(nowhere, say=lambda line: None)


def test_a_reference_that_will_not_be_there_is_refused_before_the_first_cell(plan):
    with pytest.raises(ValueError, match="there is no reference nosuch, only probe"):
        run(plan, reference="nosuch", say=lambda line: pytest.fail("the first cell is run already"))
    assert not contents(plan.out)


def test_low_resource_cells_are_trained_on_a_share(plan):
    run(replace(plan, shares=(0.25, 1.0)), say=lambda line: None)
    sizes = {cell["share"]: cell["moabb"][0]["n_samples"] for cell in read_results(plan.out)}
    assert sizes == {0.25: 6, 1.0: 24}


@pytest.mark.filterwarnings("ignore:the model was made for the reference .average.")  # six channels
def test_a_model_comes_with_its_twin_and_whom_it_had_seen(plan):
    lines = lines_of(
        replace(plan, pipelines=("embedding",), models=("neurorvq-eeg-small",), folds=2)
    )
    assert len(lines) == 4
    cells = {cell["pipeline"]: cell for cell in read_results(plan.out)}
    assert set(cells) == {"embedding:neurorvq-eeg-small", "embedding:neurorvq-eeg-small-random"}
    assert cells["embedding:neurorvq-eeg-small"]["seen"] == []  # of this dataset
    assert cells["embedding:neurorvq-eeg-small"]["model"] == "neurorvq-eeg-small"


@pytest.mark.filterwarnings("ignore:the model was made for the reference .average.")  # six channels
def test_each_trial_is_encoded_once_over_all_folds_where_memory_is_enough(plan):
    tiny = replace(plan, pipelines=("embedding_thirds",), models=("neurorvq-eeg-tiny-random",))
    usual = IN_PROCESS.most_bytes

    def passes(memory):
        """Passes of the model up to the end of each of four folds."""
        IN_PROCESS.clear()
        found, told = [], []
        hook = register_module_forward_pre_hook(
            lambda module, inputs: found.append(1) if isinstance(module, NeuroRVQ) else None
        )
        given = replace(tiny, folds=4, out=plan.out / str(memory))
        try:
            run(given, say=lambda line: told.append(len(found)), memory=memory)
        finally:
            hook.remove()
        return told

    first, *others = passes(None)
    assert others == [first] * 3  # those tested and trained on in the first fold are all there are
    each, *_, last = passes(0.0)
    assert last == 4 * each
    assert IN_PROCESS.most_bytes == usual


def test_less_memory_than_none_is_refused(plan):
    with pytest.raises(ValueError, match="memory=-1 GiB must not be negative"):
        run(plan, memory=-1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pipelines": ("nothing",)}, "there is no pipeline nothing, only band_power, "),
        (
            {"tasks": ("imagery",), "data": Path("nowhere")},
            r"wanted are files such as S\?\?\?R04.edf",
        ),
    ],
)
def test_what_is_not_there_is_named(plan, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(replace(plan, **change), say=lambda line: None)
