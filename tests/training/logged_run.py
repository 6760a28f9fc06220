# License: BSD-3-Clause
"""``mne-neurorvq`` as a program that writes down which windows each process trains on.

usage: logged_run.py FOLDER KILLED_AT COMMAND...; KILLED_AT is the batch before which the process
kills itself, or -1.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from mne_neurorvq.cli import main
from mne_neurorvq.training import TokenizerStage
from mne_neurorvq.training import pretrain_command as command


def _write_down_windows(folder, killed_at):
    usual = TokenizerStage.on_train_batch_start

    def start(self, batch, batch_idx):
        if batch_idx == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with (folder / f"windows-{self.global_rank}.jsonl").open("a") as file:
            print(json.dumps(batch.ids), file=file)
        usual(self, batch, batch_idx)

    TokenizerStage.on_train_batch_start = start


def _keep_the_model_of_this_process(folder):
    usual = command.pretrain_tokenizer

    def train(*args):
        model = usual(*args)
        torch.save(model.state_dict(), folder / f"model-{os.environ.get('LOCAL_RANK', 0)}.pt")
        return model

    command.pretrain_tokenizer = train


if __name__ == "__main__":
    _write_down_windows(Path(sys.argv[1]), int(sys.argv[2]))
    _keep_the_model_of_this_process(Path(sys.argv[1]))
    sys.exit(main(sys.argv[3:]))
