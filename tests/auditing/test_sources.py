"""Tables, folders and splits give what is audited; what cannot be used is one line."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from mammo import paths
from mammo.auditing import sources
from mammo.auditing.crossing import crossing
from mammo.auditing.people import by_names
from mammo.auditing.sides import part_of, read_sides
from mammo.auditing.sources import find_films
from mammo.auditing.splits import named_as, place, read_split
from mammo.datasets.film import write_pgm
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError


def table_of(source):
    return find_films(source).table


def folder_of(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_pgm(root / name, np.zeros((4, 4), np.uint8))
    return root


def written(path, text):
    path.write_text(text)
    return path


def test_a_folders_name_is_the_split_of_its_films(tmp_path):
    films = table_of(folder_of(tmp_path, "Train/a.pgm", "data/VALID/benign/b.pgm", "test/c.pgm", "d.pgm"))
    assert dict(zip(films["name"], films["split"].fillna("none"), strict=True)) == {
        "Train/a.pgm": "train",
        "data/VALID/benign/b.pgm": "val",
        "test/c.pgm": "test",
        "d.pgm": "none",
    }


@pytest.mark.parametrize(
    ("folders", "part"),
    [
        (
            "training Training train_images trainset Mass-Training_P_1_LEFT_CC imagesTr x_train RSNA-train TRAIN2",
            "train",
        ),
        ("Trainingsset Trainingssatz обучение eğitim 学習", "train"),
        ("val dev valid validation_set development Evaluation tuning_set Validierungsmenge", "val"),
        ("test hold-out held_out holdout TestImages testset imagesTs tests test_data", "test"),
        ("fold1 Fold_1 fold-01 cv1 cv_fold_1 crossval_1 cross_validation_1 5fold_1 k-fold1 fold01of05", "fold1"),
        ("fold(1) fold.1 fold#1 Fold[01]", "fold1"),
        ("crossval_fold_2 fold2 k_fold_2 cross_validation_fold02", "fold2"),
        ("Falte_1 pli1 pliegue-1 dobra1 折1 Kreuzvalidierung_1 validação_cruzada_1 validation-croisee-1", "fold1"),
        ("kreuzvalidierung validacao_cruzada multipli1 pli", None),
        ("train_non_cancer train_no_aug train_no_1 no_finding_train train_ohne_kontrast TrainMinusOutliers", "train"),
        ("without_augmentation_train train_non_test TrainWithoutVal fine_tuning_train no-cross-val_train", "train"),
        ("test_no_finding test_no_tumor test_without_masks Test-No-3 no_cancer_Ts", "test"),
        ("non_test not-train no_val ohneTest cross_validation no_testset test_non_test no_ts not_eğitim", None),
        ("non_train_test fine_tuning finetuning fine-tuning FineTuning hyperparameter_tuning", None),
        ("folds_5 kfolds5 5folds cross_validation_5 crossval5 cross-val-10", None),
        ("full data latest contest protest train_test trainer evaluated dataset 5fold detest strain", None),
    ],
)
def test_the_words_of_the_field_for_a_part_are_known_and_no_others(folders, part):
    assert {name: part_of(name) for name in folders.split()} == dict.fromkeys(folders.split(), part)


def test_a_user_names_the_parts_of_folders(tmp_path):
    folder = folder_of(tmp_path, "full/a.pgm", "old/test/b.pgm", "fold1/train/c.pgm")
    films = find_films(folder, read_sides("full=train, old/test=none,fold1=none")).table
    assert films["split"].fillna("none").tolist() == ["train", "train", "none"]
    for words in ("full", "full=learn", "=train"):
        with pytest.raises(InputError, match="--sides: expected folder=part"):
            read_sides(words)
    with pytest.raises(InputError, match=r"no folder fool with films; it has .*full"):
        find_films(folder, read_sides("fool=train,fold1=none"))
    with pytest.raises(InputError, match=r"audit the folder of each fold by itself, .* --sides NAME=none"):
        find_films(folder)


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        ("folds_5/fold_1 folds_5/fold_2", "fold1 fold2"),
        ("cross_validation_5/fold_1 cross_validation_5/fold_2 test", "fold1 fold2 test"),
        ("cv_5/fold_1 cv_5/fold_2/benign", "fold1 fold2"),
        ("crossval5/train crossval5/test", "train test"),
        ("crossval_2 crossval_3 x/crossval_5", "fold2 fold3 none"),
        ("5fold_1 5fold_3", "fold1 fold3"),
        ("split_1/fold_1 split_2/fold_2", "fold1 fold2"),
        ("cv_1/fold_1 cv_1/fold_2 cv_2/fold_1", None),
        ("repeat_1/fold_1 repeat_2/fold_1", None),
        ("seed_0/train seed_0/test seed_1/train", None),
        ("ossrep1/train ossrep2/train", "train train"),
        ("cross_val_2/train cross_val_2/test cross_val_3/train", None),
    ],
)
def test_folders_of_folds_are_folds_but_not_those_that_count_them(tmp_path, folders, parts):
    folder = folder_of(tmp_path, *(f"{one}/{number}.pgm" for number, one in enumerate(folders.split())))
    if parts is None:
        with pytest.raises(InputError, match=r"expected (the parts|folders of one part)"):
            find_films(folder)
    else:
        films = table_of(folder).sort_values("image_id")
        assert films["split"].fillna("none").tolist() == parts.split()


def test_words_that_count_folds_number_them_in_a_column(tmp_path):
    rows, _ = read_split(written(tmp_path / "s.csv", "image_id,split\na,crossval_2\nb,crossval_3\n"))
    assert rows["split"].tolist() == ["fold2", "fold3"]
    with pytest.raises(InputError, match="split 'crossval_5' is unknown"):
        read_split(written(tmp_path / "s.csv", "image_id,split\na,crossval_5\n"))


def test_an_info_file_names_the_patients(phantom):
    films = table_of(phantom.root)
    assert len(films) == 32 and films["patient"].nunique() == 16


def test_a_tables_paths_are_relative_to_it_and_its_official_split_is_the_split_of_its_films(tmp_path):
    text = (
        "dataset,image_id,finding_id,path,patient,severity,official_split\n"
        "own,a,1,films/a.png,w1,benign,train\nown,a,2,films/a.png,w1,malignant,train\nown,b,0,films/b.png,w2,normal,test\n"
    )
    films = table_of(written(tmp_path / "films.csv", text))
    assert films["path"].tolist() == [str(tmp_path / "films/a.png"), str(tmp_path / "films/b.png")]
    assert films[["name", "patient", "split"]].to_numpy().tolist() == [["a", "w1", "train"], ["b", "w2", "test"]]


def test_a_split_names_films_by_stem_or_by_path_and_tells_their_patients(tmp_path):
    films = table_of(folder_of(tmp_path / "films", "x/a.pgm", "y/a.pgm", "y/b.pgm"))
    rows, _ = read_split(
        written(tmp_path / "split.csv", "image_id,patient,split\nx/a,w1,train\ny/a.pgm,w2,test\nb,w2,valid\n")
    )
    placed = place(films, rows)
    assert placed["split"].tolist() == ["train", "test", "val"]
    assert placed["patient"].tolist() == ["w1", "w2", "w2"]


def test_a_rows_finding_patch_and_copy_are_columns_and_no_name_is_taken_apart(tmp_path):
    uid = "1.3.6.1.4.1.9590.100.1.2.c3"
    text = f"image_id,finding_id,patch,copy,split\n{uid},1,0,3,train\nmdb002.p4,,,,test\n"
    rows = read_split(written(tmp_path / "samples.csv", text))[0].astype(object).fillna("")
    assert rows[["image_id", "finding_id", "patch", "copy"]].to_numpy().tolist() == [
        [uid, "1", "0", "3"],
        ["mdb002.p4", "", "", ""],
    ]
    rows, _ = read_split(written(tmp_path / "samples.csv", f"sample_id,split\n{uid}.1,train\n"))
    assert rows["image_id"].tolist() == [f"{uid}.1"] and rows["finding_id"].isna().all()


@pytest.mark.parametrize(
    ("film", "text", "why"),
    [
        ("mdb999.pgm", None, "does not describe these films, for example mdb999"),
        ("mdb001.pgm", "readings of 2019", "not that of mini-MIAS"),
        ("mdb001.pgm", "mdb001 X NORM", "not that of mini-MIAS"),
        ("a.png", None, None),
        ("a.png", "readings of 2019", None),
    ],
)
def test_an_info_file_of_other_films_is_a_note_if_they_are_named_as_those_of_mini_mias(
    tmp_path, phantom, film, text, why
):
    folder_of(tmp_path, film, "b.png", "x/c.png")
    for name in ("Info.txt", "x/info.txt"):
        written(tmp_path / name, text or (phantom.root / "Info.txt").read_text())
    found = find_films(tmp_path)
    assert found.table["patient"].isna().all()
    assert bool(found.notes) == bool(why) and all(why in note for note in found.notes)


@pytest.mark.parametrize("strange", ["readings of 2019", "mdb001 X NORM", "mdb777 F NORM", ""])
def test_a_strange_info_file_does_not_hide_the_right_one(tmp_path, phantom, strange):
    folder_of(tmp_path, "x/mdb001.png", "y/mdb002.png")
    written(tmp_path / "Info.txt", strange)
    written(tmp_path / "y/Info.txt", (phantom.root / "Info.txt").read_text())
    found = find_films(tmp_path)
    assert found.table["patient"].tolist() == ["mias-001", "mias-001"] and not found.notes


def test_an_info_file_tells_the_patients_of_films_that_were_converted_or_moved(tmp_path, phantom):
    folder = folder_of(
        tmp_path, "x/train/mdb001.png", "x/test/MDB002_rot90.jpg", "x/train/mdb003lm.png", "x/train/a.png"
    )
    info = (phantom.root / "Info.txt").read_text()
    written(tmp_path / "Info.txt", info)
    for root in (folder, folder / "x"):
        found = find_films(root)
        patients = dict(zip(found.table["image_id"], found.table["patient"].fillna(""), strict=True))
        assert patients == {"mdb001": "mias-001", "MDB002_rot90": "mias-001", "mdb003lm": "", "a": ""}
    assert not found.notes


def test_a_folder_with_a_table_or_list_for_each_part_stands_for_a_split(tmp_path):
    written(tmp_path / "train.csv", "image_id,patient\na,P1\nb,P2\n")
    written(tmp_path / "Test_set.csv", "file;PatientID\nc.png;P1\n")
    written(tmp_path / "val.txt", "images/b x.png 1\n\nd.png\n")
    written(tmp_path / "notes.txt", "old")
    rows = read_split(tmp_path)[0].fillna("")
    assert rows[["image_id", "patient", "split"]].to_numpy().tolist() == [
        ["c.png", "P1", "test"], ["a", "P1", "train"], ["b", "P2", "train"],
        ["images/b x.png", "", "val"], ["d.png", "", "val"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="name the folder with the tables of all parts"):
        read_split(tmp_path / "train.csv")
    written(tmp_path / "fold1.csv", "image_id\na\n")
    with pytest.raises(InputError, match=r"parts of one split, found fold1.csv and Test_set.csv"):
        read_split(tmp_path)
    with pytest.raises(InputError, match=r"split.csv: no such file"):
        read_split(folder_of(tmp_path, "y/a.png") / "y")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("train_fold1.csv val_fold1.csv train_fold2.csv val_fold2.csv", "those of several, "),
        ("fold1_train.txt fold1_test.txt fold2_train.txt fold2_test.txt", "those of several, "),
        ("train_run1.csv test_run1.csv train_run2.csv", "those of several, "),
        ("train_1.csv test_1.csv train_2.csv test_2.csv", "those of several, train_1.csv, train_2.csv;"),
        ("fold1.csv:split fold2.csv:split", "fold1.csv: expected the images of fold1 alone, found a column split"),
        ("cv1.csv:set cv2.csv:set", "cv1.csv: expected the images of fold1 alone, found a column set"),
        ("fold1.csv:is_test fold2.csv:is_test", "found a column is_test"),
    ],
)
def test_tables_of_several_splits_are_refused(tmp_path, files, message):
    for file in files.split():
        name, _, column = file.partition(":")
        rows = f"image_id,{column}\na.png,train\nb.png,test\n" if column else "image_id\na.png\n"
        written(tmp_path / name, rows)
    with pytest.raises(InputError, match=message) as error:
        read_split(tmp_path)
    assert "\n" not in str(error.value)


def test_tables_of_one_fold_or_of_folds_alone_are_a_split(tmp_path):
    for part in ("train", "val"):
        written(tmp_path / f"{part}_fold2.csv", f"image_id\n{part}.png\n")
    assert read_split(tmp_path)[0]["split"].tolist() == ["train", "val"]
    for path in tmp_path.iterdir():
        path.unlink()
    for number in "12":
        written(tmp_path / f"fold{number}.csv", f"image_id,split\n{number}.png,fold{number}\n")
    assert read_split(tmp_path)[0]["split"].tolist() == ["fold1", "fold2"]


def test_tables_of_one_part_in_pieces_are_a_split_and_tables_that_number_folds_are_folds(tmp_path):
    for name in ("train_1", "train_2", "test_1"):
        written(tmp_path / f"{name}.csv", f"image_id\n{name}.png\n")
    assert read_split(tmp_path)[0]["split"].tolist() == ["test", "train", "train"]
    (tmp_path / "folds").mkdir()
    for number in "12":
        written(tmp_path / f"folds/crossval_{number}.txt", f"a{number}\nb{number}\n")
    assert read_split(tmp_path / "folds")[0]["split"].tolist() == ["fold1", "fold1", "fold2", "fold2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train_log.txt", "epoch 1 loss 0.5\nepoch 2 loss 0.4\n"), ("test_log.txt", "0.53\n0.52\n"),
        ("train_metrics.csv", "epoch,loss\n1,0.5\n"), ("test_classes.txt", "benign\nmalignant\n"),
        ("val_times.txt", ""), ("train_fold2_log.txt", "done in 3 s\nsaved to best.pt\n"),
        ("train_patients.csv", "patient\nP1\n"),
    ],
)  # fmt: skip
def test_files_of_a_part_that_name_no_images_are_passed_over_and_named(tmp_path, name, text):
    for part, image in (("train", "a"), ("test_fold1", "b")):
        written(tmp_path / f"{part}.csv", f"image_id\n{image}\n")
    written(tmp_path / name, text)
    rows, notes = read_split(tmp_path)
    assert dict(zip(rows["image_id"], rows["split"], strict=True)) == {"a": "train", "b": "test"}
    assert len(notes) == 1 and name in notes[0] and "passed over" in notes[0]
    (tmp_path / "train.csv").unlink()
    written(tmp_path / "val_metrics.csv", "epoch,loss\n1,0.5\n")
    with pytest.raises(InputError, match=r"found test_fold1.csv; .*val_metrics.csv \(columns epoch, loss\)"):
        read_split(tmp_path)


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("films/x0.png 1.0\na b.png,1\nc.DCM\tbenign left", "films/x0.png|a b.png|c.DCM"),
        ("mdb001 G CIRC B 535 425 197\nmdb003 D NORM", "mdb001|mdb003"),
        ("path label\na.png 1", "a.png"), ("image,label\na.png,1", "a.png"), ("what class\na.png 1", "a.png"),
        ("# a list\nfilename\na.png", "a.png"), ("#1.png 0\nb.png 1", "#1.png|b.png"),
        ("'a b.png' 0 1.5e-3\n\"c.png\";2", "a b.png|c.png"), ("0\t1.0\tx/a.png\n1\t0.0\tx/b.png", "x/a.png|x/b.png"),
        ("P1_L -1\nP2_L 1", "P1_L|P2_L"), ("P1_L,benign\nP2_L,cancer", "P1_L|P2_L"), ("0001\n0002", "0001|0002"),
        ("P1_L benign 2\nP2_L malignant 0", "P1_L|P2_L"),
    ],
)  # fmt: skip
def test_a_line_of_a_list_is_an_image_without_its_label(tmp_path, text, images):
    written(tmp_path / "train.txt", text)
    written(tmp_path / "test.csv", "image_id\nz.png\n")
    rows, notes = read_split(tmp_path)
    assert rows.loc[rows["split"] == "train", "image_id"].tolist() == images.split("|") and not notes


def test_an_exam_tells_who_is_who_where_nothing_else_does(tmp_path):
    text = "image_id,study_id,split\na,b8d273e8,training\nb,b8d273e8,test\nc,1,training\nd,1,test\n"
    exams = list(crossing(read_split(written(tmp_path / "s.csv", text))[0]))
    assert exams == ["exam b8d273e8 is in two splits: a (train), b (test)"]
    text = text.replace("image_id", "image_id,patient").replace("a,b8", "a,P1,b8").replace("b,b8", "b,P2,b8")
    text = text.replace("c,1", "c,P3,1").replace("d,1", "d,P4,1")
    assert not list(crossing(read_split(written(tmp_path / "s.csv", text))[0]))
    for column in ("exam", "study"):  # whose word may be that of many: screening, a year, a trial
        text = f"image_id,{column},split\na,screening,train\nb,screening,test\n"
        assert not list(crossing(read_split(written(tmp_path / "s.csv", text))[0]))
    one = "image_id,StudyInstanceUID,split\na,1.2,train\nb,1.2,test\n"
    assert list(crossing(read_split(written(tmp_path / "s.csv", one))[0])) == [
        "exam 1.2 is in two splits: a (train), b (test)"
    ]


def test_an_image_of_a_split_that_is_written_in_two_ways_is_one_film(tmp_path):
    films = table_of(folder_of(tmp_path / "films", "m5.pgm", "m6.pgm"))
    rows, _ = read_split(written(tmp_path / "s.csv", "image_id,split\nm5,test\nM5,train\nm6,test\n"))
    rows = named_as(films, rows)
    assert rows["image_id"].tolist() == ["m5", "m5", "m6"]
    assert list(crossing(rows)) == ["image m5 is in two splits: test, train"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_in_two_forms_of_unicode_are_one_name(tmp_path, form):
    name, other = (unicodedata.normalize(one, "M\u00fcller") for one in (form, "NFC" if form == "NFD" else "NFD"))
    films = table_of(folder_of(tmp_path / "films", f"{name}_L.pgm", "b.pgm"))
    rows, _ = read_split(
        written(tmp_path / "s.csv", f"image_id,patient,split\n{other}_L,{name},train\nb,{other},test\n")
    )
    assert named_as(films, rows)["image_id"].tolist() == [f"{name}_L.pgm", "b"]
    assert [line.split(":")[0] for line in crossing(rows)] == ["patient M\u00fcller is in two splits"]
    patients = by_names(films.assign(name=[f"{name}_L", f"{other}_R"]), "(.+)_")[0]["patient"]
    assert patients.nunique() == 1


def test_a_run_folder_stands_for_its_split(tmp_path):
    written(tmp_path / "split.csv", "image_id,patient,split\nmdb001,mias-001,train\n")
    assert read_split(tmp_path)[0]["split"].tolist() == ["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,part\na,train\n", "split and image_id, found image_id, part"),
        ("image_id,split\na,learn\n", "split 'learn' is unknown; expected one of train"),
        ("image_id,split\na,train\n,test\n", "row 3 has no image_id"),
        ("image_id,split\na,\n", "row 2 has no split"),
        ("image_id,patient,split\na,#REF!,train\n", "row 2: patient holds an error of a formula"),
        ("image_id,patient,split\na,1.2E+12,train\n", "row 2: the patient was rounded by a spreadsheet"),
        ("image_id,fold,split\na,0,train\na,1,test\n", "expected one fold, found 2"),
        ("", "expected a split as CSV"),
        ("image_id,split\n", "a header alone"),
        ("image_id,split\na,b,c,d\ne\n1,2,3,4,5,6\n", "expected a split as CSV"),
    ],
)
def test_a_bad_split_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_split(written(tmp_path / "split.csv", text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label\na,1\n", "no column is the path"),
        ("dataset,image_id,finding_id,path,patient,severity\nown,a,one,a.png,w,normal\n", "'one'"),
        ("dataset,image_id,finding_id,path,patient,severity\nown,a,0,a.png,w,odd\n", "a has severity 'odd'"),
        ("dataset,image_id,finding_id,path,patient,severity\n", "no film"),
        ("", "expected a findings table"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        find_films(written(tmp_path / "films.csv", text))
    assert "\n" not in str(error.value)


def test_what_holds_no_films_says_so(tmp_path):
    with pytest.raises(InputError, match=r"expected films .*found none"):
        find_films(tmp_path)
    with pytest.raises(InputError, match="nowhere: expected a table"):
        find_films(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"folders of one part of a split, found test, train"):
        find_films(folder_of(tmp_path, "train/test/a.pgm"))


def test_a_split_of_other_films_says_so():
    films = pd.DataFrame({"name": ["a.pgm"], "image_id": ["a"], "patient": [None], "split": [None]}, dtype="string")
    rows = pd.DataFrame({"image_id": ["z"], "patient": [None], "split": ["train"]}, dtype="string")
    with pytest.raises(InputError, match=r"names none of the 1 films: expected image_ids such as a, found z"):
        place(films, rows)


def test_what_is_known_of_films_is_kept_by_their_root_or_table_wherever_the_program_is_started(
    phantom, tmp_path, monkeypatch
):
    class Own(Phantom):
        table = "train.csv"  # the name of a file of an archive

    written(tmp_path / "train.csv", "path,patient\n")
    for of in (tmp_path, phantom.root):
        monkeypatch.chdir(of)
        assert sources._source_of(Own(root=str(phantom.root), patients=16)) == phantom.root
        rootless = Phantom(patients=16)
        rootless.root = None
        assert sources._source_of(rootless) == paths.home() / "phantom"
    films = written(tmp_path / "films.csv", f"path,patient\n{phantom.root / 'mdb001.pgm'},p\n")
    assert find_films(films).source == films
