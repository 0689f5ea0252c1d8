"""What is said in sound and video files of any length, as text and subtitles (TorchAudio 2.1)."""

from tools.transcribe.cli import transcribe as command

__all__ = ["command"]
