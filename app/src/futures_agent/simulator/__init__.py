"""An exchange on this machine: the real protocol, a clock one can set, data one can choose."""
