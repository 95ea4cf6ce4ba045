"""Push the model of a run to the Hugging Face hub, from which `onlooker.load("hf://user/name")` loads it."""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, ModelCard

from onlooker.evaluation.report.summary import first_line
from onlooker.recognizer import load, model_folder
from onlooker.run_record import read_figures
from onlooker.storage import StorageError

__all__ = ["push"]

_CARD = """
Classes: {classes}.
{tested}
```python
import onlooker

print(onlooker.load("{address}").predict("clip.mp4"))
```
"""


def push(run: Path, name: str, private: bool = False) -> str:
    """Upload the model and its model card, with the classes and the figures of the test, as one commit.

    Returns:
        The address for `onlooker.load`.

    Raises:
        FileNotFoundError, ValueError: no trained model, a damaged one, or a name that is not USER/NAME.
        StorageError: the hub does not answer, or refuses it.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"name is {name!r}, expected USER/NAME, such as jane/gestures")
    recognizer = load(run, "cpu")
    folder = model_folder(run)
    assert folder is not None
    address = f"hf://{name}"
    figures = read_figures(run)
    tested = f"\nTested by onlooker: {first_line(figures)}.\n" if figures else ""
    with TemporaryDirectory() as draft:
        shutil.copytree(folder, draft, dirs_exist_ok=True)
        card = ModelCard.load(folder / "README.md")
        card.data.pipeline_tag = "video-classification"
        card.text += _CARD.format(classes=", ".join(recognizer.classes), tested=tested, address=address)
        card.save(Path(draft, "README.md"))
        try:
            hub = HfApi()
            hub.create_repo(name, private=private, exist_ok=True)
            hub.upload_folder(repo_id=name, folder_path=draft, commit_message="Push a model of onlooker")
        except Exception as error:  # of the hub or the network
            reason = " ".join(str(error).split())
            raise StorageError(
                address, reason, "log in (`hf auth login` or HF_TOKEN); check name and network"
            ) from error
    return address
