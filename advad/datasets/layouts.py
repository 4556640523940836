"""The layouts of folders: which files are images, of which class and part, and which are masks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from advad.checks import reject
from advad.datasets.image_files import SUFFIXES, count_images, files_in, subfolders, unread_in
from advad.datasets.masks import MASK_NAME, ImageFile, looks_like_mask, with_ground_truth, with_masks_beside

SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
GROUND_TRUTH = ("ground_truth", "groundtruth", "ground-truth")
# Words of the folder names of public sets that are no classes: `images` and `labels`, `train_img` and `test_lab`,
# `Defect_images` and `Mask_images`, `JPEGImages` and `SegmentationClass`, `ISIC-2017_Training_Data`, `train2017`
IMAGE_WORDS = {"data", "image", "images", "img", "imgs", "input", "inputs", "jpegimages", "rgb"}
MASK_WORDS = {"annotation", "annotations", "gt", "lab", "label", "labels", "manual", "mask", "masks", "seg"} | {
    *("groundtruth", "segmentation", "segmentations", "segmentationclass", "segmentationobject", "truth")
}
COIL = re.compile(r"obj(?P<number>\d+)__\d+", re.IGNORECASE)


@dataclass
class Layout:
    """What a folder holds, and what was left out of it.

    Parameters
    ----------
    root : Path
        The folder that is read, below the one that was given where that holds nothing else.
    image_files : list of ImageFile
    notes : list of str
        How the folder was read, for the report.
    left_out : Counter of str
        Images that were left out: reasons, and how many.
    has_masks : bool
    """

    root: Path
    image_files: list[ImageFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    has_masks: bool = False


def find_layout(folder: Path) -> Layout:
    """Return which files of a folder are images, of which class and part, and which are masks.

    Raises
    ------
    ValueError
        A layout that cannot be read; the message names what was found and which folder to take.
    """
    root = _descended(folder)
    layout = Layout(root)
    if root != folder:
        layout.notes.append(f"read {root.relative_to(folder).as_posix()}, the only set inside")
    inside = subfolders(root)
    truth_name = next((name for name in inside if name.lower() in GROUND_TRUTH), None)
    image_root = root
    if pair := _images_and_masks(root, inside):  # VisA
        image_name, truth_name = pair
        image_root = root / image_name
        layout.notes += [f"{name} holds no image" for name in inside if name not in pair]
        inside = subfolders(image_root)
        if not _holds_images(root / truth_name):  # boxes as text, say
            layout.notes.append(f"{truth_name} holds no image, so there are no masks")
            truth_name = None
    inside = [name for name in inside if name != truth_name]
    splits = [name for name in inside if name.lower() in SPLITS]
    if splits:
        _check_splits(layout, inside, splits)
        splits.sort(key=lambda name: list(SPLITS).index(name.lower()))
        for split in splits:
            names = subfolders(root / split)
            if not names:
                contents = f"{len(files_in(root / split))} images and no folder"
                remedy = f"Put them in {root / split / 'good'}, say."
                reject("load", str(root / split), "hold one folder per class", contents, remedy)
            _refuse_parts_of_a_set(root / split, names)
            for name in names:
                _add_class(layout, root / split / name, name, is_test=SPLITS[split.lower()] == "test")
            layout.left_out["beside the class folders"] += len(files_in(root / split))
    elif inside:
        _refuse_sets_inside(image_root, inside)
        _refuse_parts_of_a_set(image_root, inside)
        for name in inside:
            _add_class(layout, image_root / name, name, is_test=False)
        _refuse_folder_of_masks(layout, inside)
        layout.left_out["beside the class folders"] += len(files_in(image_root))
    else:
        _add_flat(layout, image_root)
    if not layout.image_files:
        remedy = f"Put images there, such as {folder / 'normal' / '0001.png'}."
        reject("load", str(folder), "hold one folder per class", "no image that can be read", remedy)
    layout.has_masks = any(image_file.masks for image_file in layout.image_files) or truth_name is not None
    if truth_name is not None:
        layout.image_files = with_ground_truth(layout.image_files, root / truth_name, image_root, bool(splits))
    return layout


def _descended(folder: Path) -> Path:
    """Return the folder itself, or the set inside where it holds nothing else: archives often unpack like this."""
    while len(inside := subfolders(folder)) == 1 and not files_in(folder):
        only = folder / inside[0]
        if only.name.lower() in SPLITS or files_in(only) or not subfolders(only):
            break
        if not (_is_set(only) or any(files_in(only / name) for name in subfolders(only))):
            break
        folder = only
    return folder


def _is_set(folder: Path) -> bool:
    """Return whether a folder looks like a set of its own: by its splits, or by VisA's two folders."""
    names = subfolders(folder)
    return "train" in {SPLITS.get(name.lower()) for name in names} or _images_and_masks(folder, names) is not None


def _images_and_masks(folder: Path, names: list[str]) -> tuple[str, str] | None:
    """Return the names of the two folders of a set that has one of images and one of masks; None if it has not."""
    holding = [name for name in names if _holds_images(folder / name)]
    image_names = [name for name in holding if name.lower() in IMAGE_WORDS]
    mask_names = [name for name in names if name.lower() in {*MASK_WORDS, *GROUND_TRUTH}]
    if len(image_names) == len(mask_names) == 1 and {*holding} <= {*image_names, *mask_names}:
        return image_names[0], mask_names[0]
    return None


def _holds_images(folder: Path) -> bool:
    return bool(files_in(folder)) or count_images(folder) > 0


def _words(name: str) -> set[str]:
    """Return the words of a folder's name in small letters: of "train_img2", {"train", "img"}."""
    return set(re.findall(r"[^\W\d_]+", name.lower()))


def _refuse_parts_of_a_set(folder: Path, names: list[str]) -> None:
    """Refuse folders whose names say that they are parts of one set, such as images and their masks, not classes."""
    words = {name: _words(name) for name in names if _holds_images(folder / name)}
    masks = [name for name in words if words[name] & MASK_WORDS]
    images = [name for name in words if name not in masks and words[name] & IMAGE_WORDS]
    rule, take = "hold one folder per class, not {}", f"Take {folder / next(iter(images), '')}"
    if masks and (images or (len(masks) == len(words) and files_in(folder))):
        remedy = f"{take} with masks in {GROUND_TRUTH[0]}/ or without, or rename the classes."
        reject("load", str(folder), rule.format("images beside masks"), images + masks, remedy)
    parts = [{SPLITS[word] for word in own & SPLITS.keys()} for own in words.values()]
    of_splits = all(parts) and len(set[str]().union(*parts)) > 1
    of_images = len(images) == len(words) > 1 and all(words[name] == words[images[0]] for name in images)
    if of_splits or of_images:
        remedy = f"Take {folder / next(iter(words))}, say, or call them train/<class> and test/<class>."
        remedy = remedy if of_splits else "Move their images into one folder, or rename the classes."
        reject("load", str(folder), rule.format("parts of one set"), list(words), remedy)


def _check_splits(layout: Layout, inside: list[str], splits: list[str]) -> None:
    """Refuse folders beside the splits that hold images, and splits without a training part."""
    others = [name for name in inside if name not in splits]
    if holding := [name for name in others if files_in(layout.root / name) or count_images(layout.root / name)]:
        rule = "hold folders of splits (train, val, test) or of classes, not both"
        reject("load", str(layout.root), rule, splits + holding)
    layout.notes += [f"{name} holds no image" for name in others]
    if "train" not in {SPLITS[name.lower()] for name in splits}:
        reject("load", str(layout.root), "hold the split train beside the others", splits)


def _refuse_sets_inside(folder: Path, inside: list[str]) -> None:
    """Refuse a folder of several sets, such as all of MVTec AD, and name them."""
    sets = [name for name in inside if _is_set(folder / name)]
    sets += [
        f"{name}/{inner}" for name in inside for inner in subfolders(folder / name) if _is_set(folder / name / inner)
    ]
    if sets:
        remedy = f"Take one of them, such as {folder / sets[0]}."
        reject("load", str(folder), "be one set of images", f"{len(sets)} sets: {', '.join(sets)}", remedy)


def _add_class(layout: Layout, folder: Path, label: str, is_test: bool) -> None:
    """Add the images of one class folder, and count what it holds besides."""
    files, nested = files_in(folder), count_images(folder)
    if not files and nested and len(inner := [name for name in subfolders(folder) if files_in(folder / name)]) == 1:
        layout.notes.append(f"read {(folder / inner[0]).relative_to(layout.root).as_posix()} as class {label!r}")
        folder = folder / inner[0]
        files, nested = files_in(folder), count_images(folder)
    unread = unread_in(folder)
    if not files:
        if not nested and not unread:
            layout.left_out[f"folder {folder.relative_to(layout.root).as_posix()} without images"] += 0
            return
        contents = [f"{nested} images in folders inside"] * bool(nested) + [
            f"{n} of type {s}" for s, n in unread.items()
        ]
        remedy = f"Move them up, or take {folder}." if nested else f"Convert them to one of {', '.join(SUFFIXES)}."
        reject("load", f"class folder {folder}", "hold images that can be read", ", ".join(contents), remedy)
    layout.left_out["in folders inside class folders"] += nested
    for suffix, count in unread.items():
        layout.left_out[f"of type {suffix}, which is not read"] += count
    layout.image_files += with_masks_beside(folder, files, label, is_test)


def _add_flat(layout: Layout, folder: Path) -> None:
    """Add the images of a folder without class folders: one class, or COIL-100's objects by their file names."""
    files = files_in(folder)
    objects = [COIL.fullmatch(path.stem) for path in files]
    if files and all(objects):
        numbered = [(int(match["number"]), path) for match, path in zip(objects, files, strict=True) if match]
        digits = len(str(max(number for number, _ in numbered)))
        layout.image_files += [ImageFile(path, f"obj{number:0{digits}d}", False) for number, path in sorted(numbered)]
        layout.notes.append("one class per object, by the file names of COIL-100")
    elif files:
        layout.image_files += with_masks_beside(folder, files, folder.name, False)
        layout.notes.append(f"it has no class folders, so all images are of one class, {folder.name!r}")
    for suffix, count in unread_in(folder).items():
        layout.left_out[f"of type {suffix}, which is not read"] += count


def _refuse_folder_of_masks(layout: Layout, inside: list[str]) -> None:
    """Refuse a class folder whose name and files say that it holds the masks of another one."""
    for name in inside:
        own = [image_file for image_file in layout.image_files if image_file.label == name]
        stems = {image_file.path.stem for image_file in layout.image_files if image_file.label != name}
        plain = [(match["stem"] if (match := MASK_NAME.fullmatch(p.path.stem)) else p.path.stem) for p in own]
        if name.lower() in MASK_WORDS and own and all(stem in stems for stem in plain):
            if looks_like_mask(own[0].path):
                other = next(label for label in inside if label != name)
                remedy = f"If they are, move them to {layout.root / 'ground_truth' / other}."
                reject(
                    "load", f"class folder {name}", f"hold images, not the masks of {other}", own[0].path.name, remedy
                )
