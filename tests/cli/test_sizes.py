# SPDX-License-Identifier: MIT
"""Impossible sizes are refused at once, with the same words by `train` and by `train --dry-run`.

    test_sizes.py HSAE [TEST]...
"""
import json
import struct

from program import Case, TINY, hsae, main, random_rows, write_safetensors


class Sizes(Case):
    def both(self, *arguments, data=None):
        """The messages of train and of its dry run, which are to agree."""
        words = ["train", "--data", data or self.data, "--out", self.out, *TINY, *arguments]
        errors = hsae(*words, status=1)[1]
        plan = hsae(*words, "--dry-run", status=1)[1]
        reason = next(line for line in errors.splitlines() if "error" in line)
        self.assertIn(reason, plan)
        self.assertFalse(self.out.exists())
        return errors

    def test_batch(self):
        for batch in (1 << 31, (1 << 32) - 32, (1 << 32) - 31, (1 << 32) - 1):
            errors = hsae("train", "--data", self.data, "--out", self.out, *TINY, "--batch", batch, "--dry-run", status=1)[1]
            self.assertIn("a batch of %d is too large for 32-bit indices: at width 12 at most 76695840" % batch, errors)
            self.assertIn("--batch", errors)

    def test_levels(self):
        errors = self.both("--levels", "8,%d" % ((1 << 31) - 1))
        self.assertIn("%d features are too many for 32-bit indices" % ((1 << 31) + 7), errors)

    def test_levels_that_are_left_out(self):
        """Chosen from the rows, said, and kept by a resumed run; those of a configuration file stand."""
        write_safetensors(self.data, "activations", random_rows(4000))
        settings = ["train", "--data", self.data, "--out", self.out, "--batch", "8", "--steps", "4", "--device", "ref"]
        errors = hsae(*settings, "--target-l0", "3", "--stop-after", "2")[1]
        self.assertIn("--levels 16, chosen for 4000 vectors of 12 values on ref", errors)
        errors = hsae(*settings, "--resume", "auto")[1]
        self.assertNotIn("chosen", errors)
        self.assertEqual(json.loads((self.out / "config.json").read_text())["levels"], [16])
        self.assertIn("--levels 4,8,16, chosen", hsae(*settings, "--force", "--target-l0", "1,2,3")[1])
        config = self.folder / "config.json"
        config.write_text('{"levels": [8, 24]}')
        self.assertNotIn("chosen", hsae(*settings, "--force", "--target-l0", "2", "--config", config)[1])

    def test_width(self):
        """A sparse file: two vectors of 2^32 - 1 numbers, of which the disk holds none."""
        data = self.folder / "wide.npy"
        for width in (1 << 31, (1 << 32) - 16, (1 << 32) - 1):
            header = b"{'descr': '<f2', 'fortran_order': False, 'shape': (2, %d), }" % width
            with open(data, "wb") as file:
                file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
                file.truncate(10 + len(header) + 4 * width)
            errors = self.both("--levels", "1,2", "--batch", "1", "--target-l0", "1", data=data)
            self.assertIn("width %d is too large for 32-bit indices: at most 67108847" % width, errors)

    def test_checkpoint(self):
        """One of another maker, whose configuration has a batch that cannot be."""
        self.train()
        whole = (self.out / "checkpoint-20.safetensors").read_bytes()
        size = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:8 + size])
        config = json.loads(header["__metadata__"]["config"])
        for batch in ((1 << 32) - 1, (1 << 32) - 31, 1 << 31):
            config.update(batch=batch, steps=30)
            header["__metadata__"]["config"] = json.dumps(config)
            text = json.dumps(header).encode()
            made = self.folder / "made.safetensors"
            made.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size:])
            errors = hsae("train", "--data", self.data, "--out", self.folder / "other", "--resume", made, "--device", "ref", status=1)[1]
            self.assertIn("a batch of %d is too large for 32-bit indices: at width 12 at most 76695840" % batch, errors)


if __name__ == "__main__":
    main(__doc__)
