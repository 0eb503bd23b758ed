"""Uploads a release to the hub, with a token from the environment and from nowhere else."""

# huggingface_hub leaves parts of its interface untyped.
# pyright: reportUnknownMemberType=false

import glob
import os
from dataclasses import dataclass, field

from elad.errors import InputError
from elad.report.release import Release

TOKEN = "HF_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Where a release goes, and by whose leave."""

    repo: str
    public: bool
    token: str = field(repr=False)

    @classmethod
    def of(cls, repo: str, *, public: bool) -> "Upload":
        """Raises: InputError without a token, and for what cannot be the name of a repository."""
        from huggingface_hub.utils import validate_repo_id

        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise InputError(
                f"--repo: set {TOKEN}, a token of the hub that may write; without --repo nothing is uploaded"
            )
        try:
            validate_repo_id(repo)
        except ValueError as error:
            raise InputError(f"--repo {repo}: {error}") from error
        return cls(repo=repo, public=public, token=token)

    def send(self, release: Release) -> str:
        """Makes the repository where there is none and uploads what belongs to the release; gives its address.

        Raises: InputError with what the hub said, without the token.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=self.token)
        try:
            made = api.create_repo(self.repo, private=not self.public, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=release.folder,
                allow_patterns=[glob.escape(name) for name in release.files],
                commit_message=f"elad: the student of round {release.round}",
            )
        except Exception as error:  # whatever the hub, the network or the library may come to
            said = " ".join(str(error).split()).replace(self.token, "***")
            raise InputError(f"--repo {self.repo}: not uploaded: {type(error).__name__}: {said[:400]}") from None
        return str(made)
