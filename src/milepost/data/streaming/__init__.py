"""Files of any length in parts of bounded size; what is in the parts is as ``data.load`` has it."""
