"""A judge's scores, qualities and weights against the estimators themselves; rankings and robustness by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import percentileofscore, spearmanr

from xmkd_lib import Experiment, Study, explore, quality
from xmkd_lib.errors import UserError
from xmkd_lib.evaluation import eer, trial_scores
from xmkd_lib.modalities import LogMel
from xmkd_lib.teachers import infer

WIDE = {"snr": [-5.0, 30.0], "blur": [0.2, 3.0]}


@pytest.fixture(scope="module")
def study():
    chosen = {"method": "soft_quality", "device": "cpu", "dataset_params": WIDE, "kd_quality": ["image.resolution"]}
    return Study(Experiment.preset("smoke", **chosen))


@pytest.fixture(scope="module")
def students(study):
    return explore.chosen_students(study, ["soft_quality", "none"])


@pytest.fixture(scope="module")
def judge(study, students):
    return explore.Judge(study, students["none"], alpha=0.8)


def test_the_teacher_gives_what_the_bank_holds(study, judge):
    rows = study.dataset.rows("heldout")
    found = judge.teacher(explore.pairs(study.dataset, rows))
    torch.testing.assert_close(found.embedding, study.bank.outputs.embedding[rows], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.logits, study.bank.outputs.logits[rows], atol=1e-4, rtol=1e-5)


def test_scores_are_the_estimators(study, students, judge):
    rows = study.dataset.rows("heldout")
    known = explore.pairs(study.dataset, rows)
    torch.testing.assert_close(judge.scores("image.contrast", known), quality.create("image.contrast")(known.images))
    snr = quality.create("speech.energy_snr", sample_rate=study.dataset.sample_rate)(known.waveforms)
    torch.testing.assert_close(judge.scores("speech.energy_snr", known), snr)
    norms = study.bank.outputs.embedding.double().norm(dim=1).numpy()
    train = norms[study.dataset.rows("train")]
    np.testing.assert_allclose(
        judge.scores("teacher.norm", known), (norms[rows] - train.mean()) / train.std(), atol=1e-3
    )
    own = study.bank.outputs.logits[rows].double().softmax(1)[range(len(rows)), known.labels]
    np.testing.assert_allclose(judge.scores("teacher.confidence", known), own, atol=1e-4)
    embedding = study.outputs(students["none"], ("train", "heldout"))
    cca = quality.fit_cca(embedding["train"].embedding, study.teacher["train"].embedding)
    fit = cca.cosine(embedding["heldout"].embedding, study.teacher["heldout"].embedding)
    np.testing.assert_allclose(judge.scores("pair.cca", known), fit, atol=1e-4)


def test_scales_of_inputs_come_from_training_and_of_networks_from_held_out_rows(study, judge):
    for name in ("image.sharpness", "speech.wada_snr"):
        assert len(judge.population[name]) == len(study.dataset.rows("train"))
    for name in ("teacher.norm", "pair.cca"):
        assert len(judge.population[name]) == len(study.dataset.rows("heldout"))


def test_quality_is_the_rank_and_weight_that_of_one_more_recording(study, judge):
    row = int(study.dataset.rows("heldout")[3])
    found = judge(explore.corrupted(study.dataset, row, explore.Corruption(blur=1.0)))
    for name, (score, grade, weight) in found.iterrows():
        known = judge.population[name].double().numpy()
        assert grade == pytest.approx(percentileofscore(known, np.float32(score), "mean") / 100, abs=1e-6)
        ranks = [percentileofscore(known, value, "mean") / 100 for value in known] + [grade]
        raw = [1 - 0.8 + 0.8 * q for q in ranks]
        assert weight == pytest.approx(raw[-1] / np.mean(raw), rel=1e-4)


def test_a_comparison_tells_its_numbers(study, judge):
    people = explore.without_noise(study.dataset)
    row = int(people.rows("heldout")[3])
    found = explore.compare(judge, people, row, explore.Corruption(blur=2.5, snr_db=-5, other_face=True))
    assert found.after.quality["image.sharpness"] < found.before.quality["image.sharpness"]
    assert found.after.quality["speech.energy_snr"] < found.before.quality["speech.energy_snr"]
    line = found.in_words(["speech.energy_snr"])
    numbers = found.after.loc["speech.energy_snr"]
    assert line.startswith(
        f"{people.table.identity[row]}, session {people.table.session[row]}, SNR -5 dB, blur 2.5 pixels"
    )
    assert "another person's face" in line
    assert (
        f"speech.energy_snr {numbers.score:.2f} → quality {numbers.quality:.2f} → weight {numbers.weight:.2f}." in line
    )


@pytest.mark.parametrize("name", ["text.length", "external", "teacher.stability", "image.sharpnes"])
def test_a_judge_refuses_estimators_that_score_no_pair(study, students, name):
    with pytest.raises(UserError, match=f"Unknown estimator of a face and a voice '{name}'"):
        explore.Judge(study, students["none"], [name])


def test_a_judge_needs_held_out_recordings_and_a_teacher_of_images(students):
    without = Study(Experiment.preset("smoke", method="none", dataset_params={"heldout_utterances": 0}))
    with pytest.raises(UserError, match="no held-out recordings"):
        explore.Judge(without, students["none"])
    listens = Study(Experiment.preset("smoke", method="none", teacher="same_modality"))
    with pytest.raises(UserError, match="The teacher reads speech"):
        explore.Judge(listens, students["none"])


def test_a_teacher_without_a_network_judges_no_new_face():
    centres = Study(Experiment.preset("smoke", method="none", teacher="random_centres"))
    with pytest.raises(UserError, match="'random_centres' has no network here that could see other inputs"):
        _ = centres.teacher_network


def test_ranking_is_spearman_with_the_true_quality_and_counts_the_teachers_errors(study, judge):
    rows = study.dataset.rows("heldout")
    known = explore.pairs(study.dataset, rows)
    blurred = explore.image_grades(known.images)[0]
    (found,) = explore.rank(judge, ["image.sharpness"], known, [blurred])
    scores = quality.create("image.sharpness")(blurred.corrupted)
    assert found.spearman == pytest.approx(spearmanr(scores, -blurred.strength).statistic)
    assert found.spearman > 0.5
    outputs = judge.teacher(known._replace(images=blurred.corrupted))
    assert torch.equal(found.errors, (outputs.logits.argmax(1) != known.labels).float())
    assert found.curve == quality.error_versus_reject(scores, found.errors)


def test_ranking_of_voices_counts_the_students_errors_and_of_wrong_pairs_the_pairs(study, students, judge):
    known = explore.pairs(study.dataset, study.dataset.rows("heldout"))
    noisy, wrong = explore.voice_grades(known.waveforms, -5, 30), explore.mispaired_images(known.images)
    heard, seen = explore.rank(judge, ["speech.energy_snr"], known, [noisy, wrong])
    assert heard.spearman == pytest.approx(spearmanr(heard.scores, noisy.strength).statistic)
    student = judge.student(known._replace(waveforms=noisy.corrupted))
    assert torch.equal(heard.errors, (student.logits.argmax(1) != known.labels).float())
    assert torch.equal(seen.errors, wrong.strength)


def test_weights_against_truth_hold_the_studys_own_and_its_controls(study):
    found = explore.weights_against_truth(study)
    names = ["speech.energy_snr", "permuted", "oracle", "image.resolution", "permuted", "oracle"]
    assert [one.estimator for one in found] == names
    table = study.dataset.table.iloc[study.dataset.rows("train")]
    for side, (own, permuted, oracle) in enumerate((found[:3], found[3:])):
        truth = table.blur if side else table.snr_db
        np.testing.assert_allclose(own.truth, truth)
        assert torch.equal(own.scores, study.quality_weights()[side])
        assert sorted(permuted.scores.tolist()) == sorted(own.scores.tolist())
        assert oracle.spearman == pytest.approx(1)
        assert oracle.scores.mean() == pytest.approx(1, abs=1e-6)


def test_students_are_the_chosen_epochs_of_their_runs(study, students):
    assert list(students) == ["soft_quality", "none"]
    reference = study.reference
    for split, found in study.outputs(students["none"]).items():
        assert torch.equal(found.embedding, reference[split])
    _, fitted = study.train(study.terms())
    assert all(torch.equal(fitted.best[name], value) for name, value in students["soft_quality"].state_dict().items())


def test_robustness_is_the_eer_of_trials_with_noise_added(study, students):
    people = explore.without_noise(study.dataset)
    found = explore.noise_robustness(study, students, people, [40, 0])
    assert found.index.tolist() == [40, 0]
    assert list(found) == list(students)
    rows = people.rows("test")
    voices = people.inputs("speech", rows)
    noise = torch.randn(voices.shape, generator=torch.Generator().manual_seed(0))
    noise *= (voices.square().sum(1) / noise.square().sum(1)).sqrt()[:, None]
    features = LogMel(sample_rate=8000, n_mels=40, subtract="level")(voices + noise)
    centre = study.outputs(students["none"], ("train",))["train"].embedding.mean(0).numpy()
    embedding = infer(students["none"], features).embedding.numpy()
    expected = eer(*trial_scores(embedding, people.table.label.to_numpy()[rows], centre))
    assert found["none"][0] == pytest.approx(100 * expected, abs=1e-3)


def test_robustness_needs_a_student(study):
    with pytest.raises(UserError, match="no student"):
        explore.noise_robustness(study, {}, study.dataset, [10])


@pytest.mark.parametrize(("slope", "verdict"), [(0.9, "ranks"), (-0.1, "blind"), (-0.9, "reversed")])
def test_a_ranking_says_what_its_correlation_says(slope, verdict):
    truth = torch.arange(50.0)
    noise = torch.randn(50, generator=torch.Generator().manual_seed(3))
    scores = slope * truth + 20 * (1 - abs(slope)) * noise
    assert explore.Ranking("e", "axis", truth, scores, better=1).verdict == verdict
