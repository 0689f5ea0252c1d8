"""Running stages: started, forked, tracked, their claims registered; part of no stage's identity."""

from tasks.running import bytecode

bytecode.mend()
