# SPDX-License-Identifier: Apache-2.0
"""Small RGB videos in which every frame can be reached quickly.

H.264 with full colour resolution (4:4:4: at 96 px halved colour is visible), a key frame every two
frames and no B frames, so that episodes can be joined by copying packets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from wm_ros.data.damage import whole_file

CODEC = "libx264"
PIXEL_FORMAT = "yuv444p"
KEYFRAME_INTERVAL = 2
CRF = 14
LOSSLESS_CODEC = "libx264rgb"
ANEW = "delete that folder, and the same command makes its episode anew"
LOSSLESS_FORMAT = "rgb24"  # as the encoder takes it; stored and decoded as planes (gbrp)


def encode(path: Path, frames: np.ndarray, fps: int, lossless: bool = False) -> None:
    """Write uint8 (T, H, W, 3) RGB frames to an mp4 file; `lossless` keeps every bit of them."""
    codec, pixels, quality = ((LOSSLESS_CODEC, LOSSLESS_FORMAT, {"qp": "0"}) if lossless
                              else (CODEC, PIXEL_FORMAT, {"crf": str(CRF)}))
    options = {
        **quality,
        "preset": "ultrafast",
        "g": str(KEYFRAME_INTERVAL),
        "bf": "0",
        "x264-params": "threads=1:scenecut=0",
    }
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.thread_count = 1
        convert = VideoReformatter()
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(convert.reformat(image, format=pixels)))
        container.mux(stream.encode())


def join(path: Path, parts: Sequence[Path], lengths: Sequence[int], fps: int) -> None:
    """Put videos written by `encode` one after the other into one file without re-encoding.

    :param lengths: frames of each part; frame i of the result lies at i / fps exactly
    """
    with av.open(str(path), "w", format="mp4") as container:
        output = None
        start = 0
        for part, length in zip(parts, lengths, strict=True):
            with whole_file(part.parent, ANEW), av.open(str(part)) as source:
                stream = source.streams.video[0]
                if output is None:
                    output = container.add_stream_from_template(stream)
                ticks = round(1 / (fps * _tick(stream)))
                count = 0
                for packet in source.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts = packet.dts = (start + count) * ticks
                    packet.duration = ticks
                    packet.stream = output
                    container.mux(packet)
                    count += 1
                if count != length:
                    raise ValueError(f"{part} has {count} frames, not {length}")
            start += length


def frames_from(path: Path, first: int, count: int) -> Iterator[np.ndarray]:
    """Yield `count` frames from number `first` on as uint8 (H, W, 3) RGB.

    :raises ValueError: the video ends before
    """
    done = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        fps, tick = float(stream.average_rate or 1), _tick(stream)
        convert = VideoReformatter()  # one for all frames: it keeps its tables
        container.seek(round(first / (fps * tick)), stream=stream)
        for frame in container.decode(stream):
            if round((frame.pts or 0) * tick * fps) < first:
                continue
            yield convert.reformat(frame, format="rgb24").to_ndarray()
            done += 1
            if done == count:
                return
    raise ValueError(f"{path} ends before frame {first + count - 1}")


def _tick(stream: av.VideoStream) -> float:
    """Seconds of one unit of a stream's time stamps."""
    if stream.time_base is None:
        raise ValueError("a video stream has no time base")
    return float(stream.time_base)
