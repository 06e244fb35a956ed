# SPDX-License-Identifier: MIT
"""Models on the Hugging Face hub. Needs huggingface_hub, imported when it is used."""
from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, Callable, Optional

FILE = "model.safetensors"
_ADDRESS = re.compile(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")


def is_address(path: Any) -> bool:
    return isinstance(path, str) and path.startswith("hf://")


def download(address: str) -> str:
    """The local copy of hf://OWNER/NAME, hf://OWNER/NAME@REVISION/FILE."""
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise ValueError(f"{address}: expected hf://OWNER/NAME, hf://OWNER/NAME/FILE or hf://OWNER/NAME@REVISION/FILE")
    import huggingface_hub

    return huggingface_hub.hf_hub_download(found[1], found[3] or FILE, revision=found[2])


def push(save: Callable[[Any], None], name: str, file: str, private: Optional[bool], token: Optional[str], message: str) -> str:
    import huggingface_hub

    hub = huggingface_hub.HfApi(token=token)
    hub.create_repo(name, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hsae-hub-") as folder:
        path = Path(folder) / FILE
        save(path)
        hub.upload_file(path_or_fileobj=str(path), path_in_repo=file, repo_id=name, commit_message=message)
    return f"hf://{name}" + ("" if file == FILE else f"/{file}")
