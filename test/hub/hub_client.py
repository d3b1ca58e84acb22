"""What Hugging Face's Python library makes of a cache, as one JSON document. Verbs: snapshot REPO, file REPO NAME, scan; options in the environment."""
import json
import sys

from huggingface_hub import __version__, hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache


def scanned():
    found = scan_cache_dir()
    return {
        "warnings": [str(each) for each in found.warnings],
        "sizeBytes": found.size_on_disk,
        "repos": [
            {
                "id": repo.repo_id,
                "type": repo.repo_type,
                "revisions": [
                    {
                        "commit": revision.commit_hash,
                        "refs": sorted(revision.refs),
                        "files": {each.file_name: each.size_on_disk for each in revision.files},
                    }
                    for revision in repo.revisions
                ],
            }
            for repo in found.repos
        ],
    }


verb, *arguments = sys.argv[1:]
offline = "--offline" in arguments
arguments = [each for each in arguments if each != "--offline"]
if verb == "version":
    answer = __version__
elif verb == "snapshot":
    answer = snapshot_download(arguments[0], local_files_only=offline)
elif verb == "file":
    answer = hf_hub_download(arguments[0], arguments[1], local_files_only=offline)
elif verb == "cached":
    answer = try_to_load_from_cache(arguments[0], arguments[1])
elif verb == "scan":
    answer = scanned()
else:
    sys.exit(f"unknown verb {verb}")
json.dump(answer, sys.stdout)
