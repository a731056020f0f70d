"""The tables of the papers that ww rests on, computed anew from the numbers that their authors published."""
