"""Break the code on purpose, one small change at a time: each must make its test fail.

    python tests/mutations.py            # all
    python tests/mutations.py auroc y    # those whose name begins so

Each change is made in a copy of the tree, and only its test is run there. First the tests run as they are: one that
does not pass then is said to be broken, and shows nothing. It ends with 1 unless every change is caught.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEAKS, SAMPLES = "tests/test_leaks.py", "tests/training/test_datamodule.py"
METRICS, SPLIT = "tests/evaluation/test_metrics.py", "tests/datasets/test_split.py"
HEADS, CROPS = "tests/models/test_heads.py", "tests/preprocessing/test_crops.py"
SIGNIFICANCE, DOWNLOAD = "tests/evaluation/test_significance.py", "tests/datasets/test_download.py"
BOOTSTRAP, RESUME = "tests/evaluation/test_bootstrap.py", "tests/processes/test_resume.py"
DUPLICATES, NEAREST = "tests/auditing/test_duplicates.py", "tests/auditing/test_nearest.py"
MIAS = "tests/datasets/test_mias.py"
AUGMENT, BREAST = "tests/preprocessing/test_augment.py", "tests/preprocessing/test_breast.py"
MARKS, DETECTION, REPORT = (
    f"tests/{name}.py" for name in ("evaluation/test_marks", "evaluation/test_detection", "reports/test_detection")
)
VIEW, MAPS = "tests/preprocessing/test_view.py", "tests/models/test_maps.py"
PLACES, FOUND = "tests/training/test_places.py", "tests/test_detection.py"
FLIPS = "tests/test_detector_flips.py"
WINDOWS = "tests/runs/test_lesion_windows.py"
PREDICT, SELF_TEST = "tests/inference/test_predict.py", "tests/inference/test_self_test.py"
RECALIBRATION, FITTED = "tests/evaluation/test_recalibration.py", "tests/runs/test_recalibrate.py"
EXPLAIN, POINTING = "tests/explaining/test_explanation.py", "tests/explaining/test_pointing.py"
BLOCK = "tests/models/test_last_block.py"
UNLIKE = "tests/inference/test_unlike.py"
SEGMENTED = "tests/test_segmentation.py"
EXPORT, HEAD_LAYERS = "tests/inference/test_export.py", "tests/models/test_head_layers.py"
SENT, SEGMENTS = "tests/inference/test_dicom_report.py", "tests/inference/test_dicom_segments.py"
BEST, CARD = "tests/reports/test_best.py", "tests/reports/test_card.py"
SERVICE = "tests/serving/test_service.py"
SHARED_RUN = "tests/runs/test_share.py"
DONOR, SHARES = "tests/runs/test_donor.py", "tests/preprocessing/test_shares.py"
STORED = "tests/preprocessing/test_stored.py"

# Name: file of mammo, text before, text after, file of the test, and part of its name.
MUTATIONS = {
    # leaks
    "train on test": ("training/datamodule.py", "samples = self.prepared.train\n", "samples = self.prepared.described\n", LEAKS, "honest_run_has"),
    "stop on test": ("training/prepare.py", 'self.watched = part if self.rows_of[part] else "test"', 'self.watched = "test"', SAMPLES, "watches_test"),
    "watch test rows": ("training/prepare.py", "self._samples(self._taught(self.watched), FLIPS[model.flips])", 'self._samples(self._taught("test"), FLIPS[model.flips])', LEAKS, "honest_run_has"),
    "nothing withheld": ("models/heads.py", 'isin(["train", select_on])', 'isin(["train", "val", "test"])', LEAKS, "scaler_or_a_head"),
    "heads see test": ("models/heads.py", 'for part in ("train", select_on))', 'for part in ("train", "test"))', HEADS, "no_head_sees"),
    "tuning by row": ("models/heads.py", ".split(labels, labels, patients))", ".split(labels, labels, np.arange(len(labels))))", HEADS, "inner_fold"),
    "threshold on test": ("evaluation/predictions.py", "chosen_on = by_head(table, classes, split)", 'chosen_on = by_head(table, classes, "test")', LEAKS, "thresholds_that_are_written"),
    "guard of rows": ("training/guard.py", "if strangers := [row for row in rows if parts.get(row) != part]:", "if strangers := []:", LEAKS, "training_on_test_rows"),
    "guard of pools": ("training/guard.py", "if strangers := {*prepared.pool, *samples.pool.tolist()} - train:", "if strangers := set():", LEAKS, "takes_from_test"),
    "guard of labels": ("training/guard.py", "if (wrong := np.flatnonzero(np.asarray(found) != np.asarray(true))).size:", "if (wrong := np.zeros(0, int)).size:", LEAKS, "patch_whose_label"),
    "guard of monitors": ("training/guard.py", 'if monitor.partition("/")[0] != select_on:', "if not monitor:", LEAKS, "by_a_metric_of_test"),
    "copies across": ("datasets/split.py", "parts.index[parts > 1]", "parts.index[parts > 3]", SPLIT, "copies_are_dealt"),
    "split unchecked": ("datasets/split.py", 'if crossing and name in ("patient", "paper_by_patient", *GIVEN):', "if not name:", SPLIT, "is_an_error_under"),
    "pool of all": ("training/prepare.py", 'for sample, _ in rows_of["train"]})', "for part in rows_of.values() for sample, _ in part})", SAMPLES, "partner_is_another"),
    "mixed with itself": ("training/samples.py", "self.pool[self.pool != sample]", "self.pool[self.pool == sample]", SAMPLES, "partner_is_another"),
    "network of all": ("training/prepare.py", "members = [sample for sample in pool if classes[sample] == label]", "members = [sample for sample in range(len(classes)) if classes[sample] == label]", SAMPLES, "network_that_makes"),
    "copies of test": ("training/prepare.py", 'range(copies + 1) if part == "train" else [0]', "range(copies + 1)", SAMPLES, "expansion_is"),
    "backgrounds of test": ("preprocessing/crops.py", 'if lesions.at[index, "split"] != "test"', 'if lesions.at[index, "split"] != "none"', CROPS, "backgrounds_know"),
    "labels unchecked": ("evaluation/leaks.py", "np.append(true, -1)[row] != said", "said != said", "tests/evaluation/test_leaks.py", "disagree_or_are_cut"),
    "selection untold": ("evaluation/leaks.py", 'if config.select_on == "test"', 'if config.select_on == "nothing"', "tests/evaluation/test_leaks.py", "each_doing"),
    "donors of donors": ("run_folder.py", "pd.concat([own[LEARNT], self.learnt_before])", "pd.concat([own[LEARNT]])", DONOR, "donors_of_donors"),
    "learnt by donors": ("runs/provenance.py", '"began_from": name, "tested_on_learnt": known', '"began_from": name, "tested_on_learnt": []', DONOR, "tested_patients_of_the_donor"),
    # maps
    "map not mirrored": ("preprocessing/breast.py", ":: -1 if self.mirrored else 1]", ":: 1]", EXPLAIN, "discs_in_four"),
    "map of another head": ("explaining/squares.py", 'if predictor.head == "softmax" else None', "", EXPLAIN, "all_features_grow"),
    "steps that are smooth": ("explaining/squares.py", "predictor.layers.smooth and", "predictor.layers and", EXPLAIN, "covered_places"),
    "map of a whole square": ("preprocessing/squares.py", "inset * scale for at", "0 * scale for at", EXPLAIN, "discs_in_four"),
    "centre untold": ("evaluation/pointing.py", "apart.low > 0", "apart.low > -1", POINTING, "not_better_than_the_centre"),
    # answers for new films
    "heads in single precision": ("models/heads.py", ".astype(np.float64) for", "for", HEADS, "rows_beside_it"),
    "blocks not filled": ("training/samples.py", "* (-len(share) % block)]", "* 0]", SAMPLES, "each_row_once"),
    "strangers as partners": ("training/places.py", "str(row) if odd else", "'' if odd else", PREDICT, "whose_patient"),
    "threshold of others": ("inference/operating.py", '"patient": ["patient"]}', '"patient": image}', PREDICT, "is_that_of_validation"),
    "one bad film ends all": ("inference/predict.py", "BROKEN = (InputError, OSError, MemoryError)", "BROKEN = ()", PREDICT, "goes_wrong_with_one"),
    "any number passes": ("inference/self_test.py", "Stage(name, apart <= limit,", "Stage(name, True,", SELF_TEST, "changed_weight"),
    "any crop passes": ("inference/self_test.py", 'if one["sha256"] != two["sha256"]]', 'if one["shape"] != two["shape"]]', SELF_TEST, "another_preprocessing"),
    "a film more": ("evaluation/recalibration.py", "which = good.sum(axis=1) - 1", "which = good.sum(axis=1) - 2", RECALIBRATION, "known_list"),
    "odds not moved": ("evaluation/recalibration.py", "moved = 0.0 if prevalence is None else", "moved = 0.0 if prevalence else", RECALIBRATION, "multiplies_the_odds"),
    "offset unused": ("evaluation/recalibration.py", "logs[:, 1] += self.offset", "logs[:, 1] += 0", RECALIBRATION, "after_the_temperature"),
    "learnt films fitted": ("runs/recalibrate.py", "if (image, patient) in known}", "if not known}", FITTED, "learnt_are_refused"),
    "nothing is unlike": ("inference/unlike.py", "if max(looks, far) <= 0:", "if True:", UNLIKE, "no_mammogram"),
    "learnt features as new ones": ("inference/unlike.py", "if not (learnt and val.sum() >= FEW):", "if True:", UNLIKE, "learnt_from"),
    "axes without lengths": ("inference/unlike.py", "(along**2 / self.lengths[:-1])", "(along**2)", UNLIKE, "a_point_of_a_cloud"),
    # regions
    "regions of other images": ("training/region_data.py", "not np.array_equal(true[one].square, square)", "not true[one].square.size", SEGMENTED, "region_of_another_image"),
    "regions held of test": ("training/region_data.py", "if strangers := sorted(set(samples.regions) - own):", "if strangers := []:", SEGMENTED, "that_training_holds"),
    "regions at prediction": ("training/prepare.py", "self.regions if sees_regions else {}", "self.regions", SEGMENTED, "prediction_sees_no_region"),
    "windows at no region": ("training/regions.py", "if rng.random() < self.at_region", "if rng.random() < 0", SEGMENTED, "windows_of_training"),
    "windows cut apart": ("training/regions.py", "cut(region, x, y, side)", "cut(region, y, x, side)", SEGMENTED, "windows_of_training"),
    "large regions count more": ("models/decoder.py", "(1 - dice_of(logits[has].sigmoid(), shares[has])).mean()", "1 - dice_of(logits.sigmoid().flatten()[None, None], shares.flatten()[None, None]).mean()", "tests/models/test_decoder.py", "what_is_right"),
    "regions mirrored": ("preprocessing/masks.py", "region[:, ::-1] if breast.mirrored", "region if breast.mirrored", SEGMENTED, "comes_back_to_its_lesion"),
    "exported votes": ("models/head_layers.py", "votes + sure", "votes - sure", HEAD_LAYERS, "each_head_gives and svm"),
    "a changed portable file": ("run_folder.py", "if digest != told[name]:", "if digest is None:", "tests/inference/test_damaged_models.py", "tells_digests"),
    "sequences in each other": ("formats/elements.py", " and depth < DEEPEST", "", "tests/inference/test_damage.py", "sequences_in_each_other"),
    "exported decisions": ("inference/export.py", "self.apart <= LIMIT and not self.changed", "self.apart <= LIMIT", EXPORT, "otherwise_is_not_written"),
    # marks of detectors
    "marks at the edge": ("evaluation/marks.py", "[lesion] + ROUNDING_PX", "[lesion] - ROUNDING_PX", MARKS, "within_the_radius"),
    "marks of small lesions": ("evaluation/marks.py", "np.fmax(radius, hit_mm", "np.fmin(radius, hit_mm", MARKS, "within_the_radius"),
    "marks without boxes": ("evaluation/marks.py", "return mark[near | inside], lesion[near | inside]", "return mark[near], lesion[near]", MARKS, "in_the_box"),
    "marks on other films": ("evaluation/marks.py", "\"lesion\": np.arange(len(lesions))}), on=\"image\")", "\"lesion\": np.arange(len(lesions))}).drop(columns=\"image\"), how=\"cross\")", MARKS, "another_film"),
    "marks hit once": ("evaluation/marks.py", "np.maximum.at(lesion_score, lesion, score[mark])", "np.minimum.at(lesion_score, lesion, score[mark])", DETECTION, "hottest_mark_on_a_lesion"),
    "marks twice": ("evaluation/marks.py", "false = np.flatnonzero(~hits)", "false = np.flatnonzero(~np.isin(score, lesion_score))", DETECTION, "hottest_mark_on_a_lesion"),
    "marks on the unplaced": ("evaluation/marks.py", "kept = ~positive | placed", "kept = np.ones(len(images), bool)", MARKS, "left_out_with_its_marks"),
    "marks at equal scores": ("evaluation/detection.py", "(score > limits[:, rate : rate + 1])", "(score >= limits[:, rate : rate + 1])", DETECTION, "with_and_without_ties"),
    "marks one too many": ("evaluation/detection.py", "(sums <= allowed[:, rate : rate + 1])", "(sums < allowed[:, rate : rate + 1])", DETECTION, "on_paper"),
    "marks by blocks": ("evaluation/detection.py", "total = sums[:, -1]", "total = 0 * sums[:, -1]", DETECTION, "with_and_without_ties"),
    "marks of normal films": ("evaluation/detection.py", "chosen = ~one.positive[one.false_image] if normal", "chosen = one.positive[one.false_image] if normal", DETECTION, "three_films_on_paper"),
    "films that are normal": ("evaluation/detection.py", "weights @ ~one.positive if normal else weights.sum(axis=1)", "weights.sum(axis=1)", DETECTION, "normal_film_more"),
    "marks at equal ratings": ("evaluation/detection.py", "(up * (below + down / 2))", "(up * (below + down))", DETECTION, "with_and_without_ties"),
    "marks that need not hit": ("evaluation/detection.py", "weights * (one.positive * one.top_hit)", "weights * one.positive", DETECTION, "on_paper"),
    "first marks at a tie": ("evaluation/marks.py", "top_hits / np.maximum(tops, 1)", "np.minimum(top_hits, 1)", DETECTION, "order_of_rows"),
    "cpm of six": ("evaluation/detection.py", "froc.mean(axis=1)", "froc[:, :6].mean(axis=1)", DETECTION, "on_paper"),
    "marks of subgroups": ("evaluation/detection.py", "limits = _limits(one, weights, BRIEF_RATES)", "limits = np.full((len(weights), 3), -np.inf)", DETECTION, "subgroups_share"),
    "jobs drawn apart": ("evaluation/detection.py", "resamples, everyone, each=True) for one in jobs]", "resamples, each=True) for one in jobs]", DETECTION, "drawn_together"),
    "detectors unpaired": ("evaluation/detection.py", "        check_paired(one, two)\n", "        check_paired(one, one)\n", DETECTION, "are_not_paired"),
    "marks of training": ("reports/detection.py", 'JUDGED = ("val", "test")', 'JUDGED = ("train", "val", "test")', REPORT, "each_split"),
    "baselines subtracted": ("reports/detection.py", "compare([one], [heads[baseline]])", "compare([heads[baseline]], [one])", REPORT, "minus_each_baselines"),
    "marks untold": ("reports/detection.py", "    if one.unplaced:\n", "    if not one.unplaced:\n", REPORT, "what_was_left_out"),
    # the table of the best recipes
    "training collected": ("reports/best.py", 'predictions[predictions["split"] == "test"]', 'predictions[predictions["split"] != "val"]', BEST, "only_the_named_head"),
    "samples for units": ("reports/best.py", 'if recipe.unit != "sample":', "if not recipe.unit:", BEST, "by_patient_the_films"),
    # films, findings, crops
    "y unflipped": ("datasets/mias_info.py", "float(SIDE_PX - 1 - y)", "float(y)", MIAS, "flipped_once"),
    "y off by one": ("datasets/mias_info.py", "float(SIDE_PX - 1 - y)", "float(SIDE_PX - y)", MIAS, "flipped_once"),
    "laterality mirrored": ("datasets/mias_info.py", '"right" if number % 2 else "left"', '"left" if number % 2 else "right"', MIAS, "right_and_left"),
    "altered film": ("datasets/mias.py", "if pixel_digest(film.pixels) != self.manifest()[image_id]:", "if False:", MIAS, "altered_film_is"),
    "right unmirrored": ("preprocessing/breast.py", 'mirrored = taller == "right"', 'mirrored = taller == "left"', BREAST, "mirror_image"),
    "spacing of MIAS": ("preprocessing/crops.py", 'round(self.sides_mm[0] / row["spacing_mm"])', "round(self.sides_mm[0] / 0.2)", CROPS, "physical_size"),
    "recentred afar": ("preprocessing/crops.py", "RECENTRE_MM = 8.0", "RECENTRE_MM = 40.0", CROPS, "recentring"),
    "no margin": ("crop_config.py", "(1 + self.scale) + 2 * self.shift", "(1 + self.scale)", AUGMENT, "reaches_beyond"),
    "one draw": ("preprocessing/augment.py", "[seed, draw, zlib.crc32(name.encode())]", "[seed, draw, 0]", AUGMENT, "each_change"),
    # splits
    "dealt by image": ("datasets/split.py", '"patient": "patient", "image"', '"patient": "image_id", "image"', SPLIT, "crosses_a_split"),
    "fold too many": ("datasets/split.py", "0 <= fold < folds", "0 <= fold <= folds", SPLIT, "make_no_split"),
    "folds alike": ("datasets/split.py", "(dealt != fold)", "(dealt != 0)", SPLIT, "folds_test_every"),
    # metrics
    "ties of the auroc": ("evaluation/areas.py", "(up * (below + down / 2))", "(up * below)", METRICS, "two_classes_agree"),
    "sensitivity swapped": ("evaluation/metrics.py", '"sensitivity": Metric(_of_counts(lambda tp, tn, fp, fn: tp / (tp + fn))', '"sensitivity": Metric(_of_counts(lambda tp, tn, fp, fn: tn / (tn + fp))', METRICS, "two_classes_agree"),
    "specificity swapped": ("evaluation/metrics.py", '"specificity": Metric(_of_counts(lambda tp, tn, fp, fn: tn / (tn + fp))', '"specificity": Metric(_of_counts(lambda tp, tn, fp, fn: tp / (tp + fn))', METRICS, "two_classes_agree"),
    "brier doubled": ("evaluation/metrics.py", "/ (2 if apart.shape[1] == 2 else 1)", "/ 1", METRICS, "two_classes_agree"),
    "ece unweighted": ("evaluation/metrics.py", "abs(means[0] - means[1]) * (mass / total)", "abs(means[0] - means[1])", METRICS, "calibration_error"),
    "wilson of a claim": ("auditing/claim.py", "z2 / (4 * n * n)", "z2 / (2 * n * n)", "tests/auditing/test_claim.py", "interval_by_films"),
    "npv of a claim": ("auditing/claim_numbers.py", "(high * others - left_out) // (whole - high)", "high * others // (whole - high)", "tests/auditing/test_claim.py", "number_alone_has"),
    "weighted means of a claim": ("auditing/claim_readings.py", "(positives * one + negatives * other)", "(negatives * one + positives * other)", "tests/auditing/test_claim.py", "other_readings"),
    "folds of signatures": ("auditing/signatures.py", "inside = of != one", "inside = of == one", "tests/auditing/test_signatures.py", "planted"),
    "patients of two spellings": ("tables/patients.py", "name = patient.strip().casefold()", "name = patient.strip()", "tests/auditing/test_audit.py", "people_write_in_two_ways"),
    "patients counted from 0": ("tables/patients.py", "if zeros and any(_FIRST.fullmatch(_word(one)) for one in given):", "if zeros:", "tests/auditing/test_audit.py", "words_for_no_patient"),
    "a film replaced unseen": ("formats/remembered.py", " {facts.st_ctime_ns} {facts.st_ino}", "", "tests/auditing/test_hashes.py", "of_its_size_and_time"),
    "time of a placeholder": ("auditing/acquisitions.py", "sizes.where(sizes > PLACEHOLDER, ", "sizes.where(sizes < 0, ", "tests/auditing/test_audit.py", "time_and_dose"),
    "rounding of a claim": ("auditing/claim_numbers.py", '"rounded": (-1, 1, 0)', '"rounded": (0, 1, 0)', "tests/auditing/test_claim.py", "number_alone_has"),
    "bootstrap by image": ("evaluation/bootstrap.py", "everyone, member = _members(patients, everyone)\n    return", "everyone = _members(patients, everyone)[0]\n    member = np.arange(len(patients)) % len(everyone)\n    return", BOOTSTRAP, "as_a_whole"),
    "groups of samples": ("evaluation/grouped.py", "group[member].astype(np.int32)", "(np.arange(len(member)) % groups).astype(np.int32)", BOOTSTRAP, "that_single_patients_give"),
    "values of few levels": ("evaluation/bootstrap.py", "plain[name][:1] + (rough[name] - rough[name][:1])", "rough[name]", BOOTSTRAP, "that_single_patients_give"),
    "a field too many": ("tables/plain_csv.py", "    except pa.ArrowInvalid:\n        return None", "    except pa.ArrowTypeError:\n        return None", "tests/tables/test_plain_csv.py", "anything_uncommon"),
    "interval too narrow": ("evaluation/bootstrap.py", "stdtrit(patients - 1, 0.975) ** 2", "stdtrit(patients - 1, 0.84) ** 2", "tests/evaluation/test_coverage.py", "about_as_often"),
    "DeLong by image": ("evaluation/significance.py", "for row in (values - areas[:, None]) / number])", "for row in abs(values - areas[:, None]) / number])", SIGNIFICANCE, "obuchowskis"),
    "one factor of DeLong": ("evaluation/significance.py", "counts / (counts - 1)", "counts / counts", SIGNIFICANCE, "is_delongs"),
    "permuted by image": ("evaluation/significance.py", "np.bincount(member, lead).astype(int)", "lead", SIGNIFICANCE, "enumeration_of_all"),
    "Bonferroni for Holm": ("evaluation/significance.py", "p[order] * np.arange(len(p), 0, -1)", "p[order] * len(p)", SIGNIFICANCE, "test_holm"),
    "required sensitivity": ("evaluation/operating_point.py", ">= float(rule))[-1]", ">= float(rule))[0]", "tests/evaluation/test_operating_point.py", "required_sensitivity"),
    "silent bound": ("evaluation/operating_point.py", "1.01 * low < self.temperature < high / 1.01", "low < self.temperature < high", "tests/evaluation/test_operating_point.py", "ends_at_its_bound"),
    # samplers, losses
    "rows repeated": ("training/samples.py", "range(rank, rows, world)", "range(0, rows)", SAMPLES, "each_row_once"),
    "blocks in order": ("training/samples.py", "rng.permutation(-(-rows // block)) * block", "np.arange(-(-rows // block)) * block", SAMPLES, "shuffled_by_blocks"),
    "squares of others": ("preprocessing/stored.py", "squares.start[numbers]", "squares.start[: len(numbers)]", STORED, "those_that_were_stored"),
    "a turn twice": ("preprocessing/crop_table.py", "yield rows[turns == turn]", "yield rows[turns <= turn]", "tests/preprocessing/test_unreadable.py", "made_in_turns"),
    "ranks alike": ("training/samples.py", "batches[self.done :, self.rank]", "batches[self.done :, 0]", SAMPLES, "batches_together"),
    "weights of classes": ("models/losses.py", "counts.sum() / len(counts) / counts if", "counts / counts.sum() if", "tests/tasks/test_classification.py", "weigh_alike"),
    "power of the focal loss": ("models/losses.py", "missing**self.gamma", "missing", "tests/models/test_losses.py", "lin_et_al"),
    # what is cut, killed or damaged
    "other settings go on": ("processes/resume.py", "same = digest(started) == digest(own)", "same = True", RESUME, "own_configuration_alone"),
    "finished for all": ("processes/resume.py", 'if record["digest"] == digest(own):', "if False:", RESUME, "beside_a_finished_run"),
    "one folder a second": ("processes/peers.py", 'Path("outputs", own).mkdir(parents=True)', 'Path("outputs", own).mkdir(parents=True, exist_ok=True)', RESUME, "begin_in_one_second"),
    "a lost cache": ("preprocessing/cache.py", "            except OSError:\n                continue\n", "            except OSError:\n                path.unlink()\n", "tests/faults/test_faults.py", "costs_no_block"),
    "half a file": ("files.py", 'temporary = path.with_name(f"{owned()}{path.name}.tmp")', "temporary = path", RESUME, "written_whole"),
    "checksum unread": ("datasets/download.py", "while stream.read(CHUNK_BYTES):", "while False:", DOWNLOAD, "wrong_checksum"),
    "truncated download": ("datasets/download.py", "(done := file.tell()) != expected", "(done := file.tell()) > expected", DOWNLOAD, "announces_more"),
    "other range": ("datasets/download.py", 'span.startswith(f"bytes {have}-")', "bool(span)", DOWNLOAD, "range_other_than"),
    "one share": ("preprocessing/cutting.py", "return self.order[image_id] % self.count", "return 0", SHARES, "three_processes"),
    "shares not looked at again": ("preprocessing/cutting.py", "[one for one in shares[share] if not there >= set(names_of(keys[one]))]", "shares[share]", SHARES, "three_processes"),
    "shares of two kinds": ("preprocessing/cache.py", "with self._dealt(count):", "if True:", SHARES, "any_number_of_processes"),
    # audit
    "same too soon": ("auditing/duplicates.py", "SAME = 0.78", "SAME = 0.3", DUPLICATES, "two_breasts"),
    "same too late": ("auditing/duplicates.py", "SAME = 0.78", "SAME = 0.995", DUPLICATES, "copy_is_found"),
    "hashes too far": ("auditing/nearest.py", "NEAR_BITS = 64", "NEAR_BITS = 4", DUPLICATES, "copy_is_found"),
    "turn of the other film": ("auditing/nearest.py", "np.where(other > one, INVERSE[turn], turn)", "turn", NEAREST, "turned_alike"),
    "added films uncompared": ("auditing/duplicates.py", "propose(records[\"hashes\"][among], new[among])", "propose(records[\"hashes\"][among], ~new[among])", NEAREST, "added_are_compared"),
    "patients unaudited": ("auditing/crossing.py", '_in_several(rows, ["patient"])', '_in_several(rows, ["image_id"])', "tests/auditing/test_audit.py", "patient_in_two_splits"),
    # detectors: where places lie, what they learn from, and what is judged
    "places shifted": ("preprocessing/view.py", "(STEP * at + 0.5) * CELL_PX - 0.5", "(STEP * at + 2.5) * CELL_PX - 0.5", VIEW, "hottest_place"),
    "places not turned back": ("preprocessing/view.py", "breast.to_film(*at)", "at", VIEW, "mirror_image"),
    "maps shifted": ("models/backbones.py", "moved_px=10", "moved_px=34", MAPS, "lies_on_the_film"),
    "maps of flips not turned back": ("models/maps.py", "seen.flip(2) if flip else seen", "seen", MAPS, "symmetric"),
    "flips on other cells": ("models/backbones.py", "whole_px=(16, 11)", "whole_px=(16, 0)", MAPS, "symmetric"),
    "heat of the film alone": ("inference/detector.py", "for flip in FILM_FLIPS[self.config.model.flips]]", "for flip in [False]]", FLIPS, "mean_over"),
    "targets of the next flip": ("training/places.py", "np.repeat(one, number)", "np.tile(one, number)", FLIPS, "taught_the_same"),
    "ring that counts": ("training/places.py", "~(ring | (image in unplaced))", "np.full(len(ring), image not in unplaced)", PLACES, "circle_is_1"),
    "unplaced films count": ("training/places.py", "~(ring | (image in unplaced))", "~ring", PLACES, "without_a_place_nothing"),
    "large lesions more often": ("training/place_batches.py", "chance = soft / of_lesion[lesion]", "chance = soft", PLACES, "half_its_places"),
    "hardest of all films": ("training/place_batches.py", "self.outside = np.flatnonzero(use & ", "self.outside = np.flatnonzero(", PLACES, "half_its_places"),
    "places of all films": ("training/detection_data.py", 'self.use = np.repeat(self._of("train"), np.diff(self.starts))', "self.use = np.ones(int(self.starts[-1]), bool)", FOUND, "score_less_half"),
    "restarts that see all patients": ("training/place_batches.py", "draw.choice(self.others[restart], half)", "draw.choice(self.outside, half)", PLACES, "patients_of_its_own"),
    "marks away from the peak": ("training/marks.py", "peak += (heat", "peak -= (heat", PLACES, "on_the_peak"),
    "prior of all films": ("training/marks.py", "counted(use & (targets.soft > 0))", "counted(targets.soft > 0)", PLACES, "position_prior"),
    "partner of the same side": ("training/places.py", 'other = {"left": "right", "right": "left"}', 'other = {"left": "left", "right": "right"}', PLACES, "partner_is"),
    "windows as drawn": ("runs/lesion_windows.py", 'CropConfig(name="lesion", recentre=recentre)', 'CropConfig(name="lesion", recentre=True)', WINDOWS, "windows_are_those"),
    "heat elsewhere": ("runs/lesion_windows.py", "films[image]", "films[image] - 1", WINDOWS, "nearest_place"),
    "maps of any device": ("training/film_maps.py", 'if device.type == "cpu" else', "if device.type else", "tests/training/test_film_maps.py", "another_kind"),
    "places without counts": ("training/place_guard.py", " | ~true.counts[taught]]", "]", FOUND, "taught_something_else"),
    "partner added": ("training/marks.py", "return scores - taken_away(", "return scores + taken_away(", PLACES, "score_less_its"),
    "marks near hotter ones": ("training/marks.py", "> apart_px", "> 0", PLACES, "hottest_places_and_none"),
    "contours as circles": ("datasets/geometry.py", "        if not self.contour:\n", "        if True:\n", PLACES, "contour_is_inside"),
    "regions moved": ("training/places.py", "y_px - top + 1, x_px - left + 1", "y_px - top + 9, x_px - left + 9", PLACES, "mask_is_inside"),
    "places upside down": ("preprocessing/breast.py", "upside_down=film.upside_down", "upside_down=False", "tests/training/test_planted_lesions.py", "upside"),
    "maps made with those that are there": ("training/film_maps.py", "if not there >= set(_names(key))]", "]", FOUND, "added_is_made_alone"),
    "marks that do not fall": ("training/marks.py", "to_numpy(np.float32) - by", "to_numpy(np.float32)", FOUND, "falls_with_the_score"),
    "maps made twice": ("training/film_maps.py", "if sum(one.nbytes for one in held.values()) > WRITTEN_BYTES:", "if not held:", FOUND, "stopped_among"),
    "spacing unasked": ("training/places.py", 'if (silent := images["spacing_mm"].isna()).any():', 'if (silent := images["spacing_mm"].isna()).all() and not len(images):', PLACES, "cannot_use"),
    "places unasked": ("training/places.py", "if config.fit and not lesions", "if not config.fit and not lesions", "tests/test_detector_data.py", "without_places"),
    "patches too small": ("models/last_block.py", "+ reach) / STEP)", "+ reach) / STEP / 2)", BLOCK, "a_place_is_seen"),
    "block that moves nothing": ("models/last_block.py", "return x + moved", "return x", BLOCK, "moves_the_coordinates"),
    "block unasked": ("inference/detector.py", "if net.block is not None:", "if False:", PREDICT, "film_of_a_detector_gets"),
    "masks shared by none": ("models/detector.py", "torch.rand(like.shape, generator=self.draws", "torch.rand((like.shape[0], 2, like.shape[2]), generator=self.draws", "tests/models/test_detector.py", "same_inputs"),
    # model cards
    "names as Markdown": ("reports/markdown.py", 'r"([\\\\`*\\[\\]<>])"', 'r"([<>])"', CARD, "names_from_outside"),
    "threshold of no subgroup": ("evaluation/subgroups.py", '_value(inside, f"{name}_at_threshold", operating)', "_value(inside, name)", CARD, "counted_by_part"),
    "digest of weights alone": ("run_folder.py", "hashlib.sha256(json.dumps(facts, sort_keys=True).encode())", "hashlib.sha256()", CARD, "digest_tells"),
    # DICOM objects
    "corner of a pixel": ("inference/dicom_report.py", "HALF_PX = 0.5", "HALF_PX = 0.0", SENT, "own_coordinates"),
    "identity forgotten": ("inference/dicom_source.py", "if DATES in source:", "if DATES in made:", SENT, "without_identity"),
    "names in warnings": ("inference/dicom_source.py", '        warnings.simplefilter("ignore")\n', "", SENT, "predict_writes"),
    "regions turned": ("inference/dicom_segments.py", "pixel_array=region[None]", "pixel_array=region[None, :, ::-1]", SEGMENTS, "other_programs"),
    "film cut as a breast": ("inference/classifier.py", 'if asks[0].kind == "film" else breast', 'if asks[0].kind == "none" else breast', SEGMENTED, "sees_the_whole"),
    # the service
    "rebinding": ("serving/guards.py", "if self.local and not is_local", "if self.local and is_local", SERVICE, "pages_of_other"),
    "cross origin": ("serving/guards.py", 'return origin is None or origin.partition("://")[2] == host != ""', "return True", SERVICE, "pages_of_other"),
    "spooled films": ("serving/uploads.py", "spool_max_size = 0", "spool_max_size = 1024", SERVICE, "stays_in_memory"),
    "addresses logged": ("serving/guards.py", 'getattr(inner.get("route"), "path", "another address")', 'inner["path"]', SERVICE, "stays_in_memory"),
    "senders mixed": ("serving/worker.py", "own = {n: next(predictions)", "own = {n: next(iter(shown_to(predictor, seen)))", SERVICE, "several_senders"),
    "films unbounded": ("serving/service.py", "asyncio.Semaphore(HELD)", "asyncio.Semaphore(9 * HELD)", SERVICE, "held_whole"),
    "pixels unbounded": ("serving/readers.py", "if header.height * header.width > pixels:", "if header.height * header.width > 10 * pixels:", SERVICE, "no_film_gets"),
    # what is given away
    "names kept": ("runs/share.py", "write_table(names.table(_table(run.path / name)), folder / name)", "write_table(_table(run.path / name), folder / name)", SHARED_RUN, "no_text_of_a_shared"),
    "order of digests": ("runs/share.py", "zip(known, sorted(digests), strict=True)", "zip(known, digests, strict=True)", SHARED_RUN, "one_digest_in_every"),
    # parsers
    "errors of several lines": ("errors.py", '" ".join(str(line).splitlines())', "str(line)", "tests/properties/test_words.py", "words_of_a_claim_give"),
    "contours without end": ("datasets/geometry.py", "max(map(abs, found)) > FARTHEST", "not found", "tests/properties/test_places.py", "pairs_of_finite"),
    "half a gzip": ("tables/spreadsheet.py", "EOFError, zlib.error, lzma", "EOFError, lzma", "tests/properties/test_tables.py", "any_bytes_are_a_table"),
    # memory and speed
    "sweep keeps garbage": ("cli/train.py", "            gc.collect()  # a job", "            pass  # a job", "tests/runs/test_sweep.py", "freed_before"),
    "few films in other digits": ("inference/classifier.py", "if np.array_equal(numbers(size), full)", "if size", "tests/inference/test_predict.py", "stays_full"),
}  # fmt: skip


def main(names: list[str]) -> int:
    """Try the changes of these names, or all; return 1 if one is not caught."""
    chosen = {key: value for key, value in MUTATIONS.items() if not names or key.startswith(tuple(names))}
    with tempfile.TemporaryDirectory(prefix="mammo-mutations-") as folder:
        copy, bad = Path(folder, "tree"), 0
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "*.egg-info", "__pycache__")
        )
        marks = dict[tuple[str, str], str]()  # of the tests that pass; those that are slow run if no other is there
        for mark in ("not slow", "slow"):
            asked = [value[3:] for value in chosen.values() if value[3:] not in marks]
            marks |= dict.fromkeys(passing_now(copy, asked, mark), mark) if asked else {}
        for name, (file, before, after, *test) in chosen.items():
            path = copy / "mammo" / file
            honest, seconds = path.read_text(), 0.0
            if honest.count(before) != 1:
                said = "text not found, or found twice"
            elif tuple(test) not in marks:
                said = "its test is broken, or not found"
            else:
                path.write_text(honest.replace(before, after))
                status, seconds = tried(copy, tuple(test), marks[tuple(test)])
                path.write_text(honest)
                said = "caught" if status == 1 else "SURVIVED"
            bad += said != "caught"
            print(f"{said:10}{seconds:5.1f} s  {name}: {file}, {test[0]} -k {test[1]}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} caught")
    return int(bad > 0)


def passing_now(copy: Path, tests: list[tuple[str, str]], mark: str) -> set[tuple[str, str]]:
    """Return the tests that are there and pass as the code is, from one run of all with a mark."""
    files = list(dict.fromkeys(file for file, _ in tests))
    how = ["--continue-on-collection-errors", "-rA", "-k", " or ".join(part for _, part in tests)]
    ended = run(copy, mark, *how, *files).stdout.splitlines()
    bad = [line for line in ended if line.startswith(("FAILED", "ERROR"))]
    good = [line for line in ended if line.startswith("PASSED")]

    def among(lines: list[str], file: str, part: str) -> bool:
        return any(file in line and part in line for line in lines)

    return {test for test in tests if among(good, *test) and not among(bad, *test)}


def tried(copy: Path, test: tuple[str, str], mark: str) -> tuple[int, float]:
    """Run one test in the copy; return pytest's status, 1 for a failure, and the seconds that it took."""
    start = time.perf_counter()
    status = run(copy, mark, "-x", test[0], "-k", test[1]).returncode
    return status, time.perf_counter() - start


def run(copy: Path, mark: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the copy."""
    command = [sys.executable, "-m", "pytest", "-m", mark, "-n", "0", "-q", "-p", "no:cacheprovider", *words]
    env = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
