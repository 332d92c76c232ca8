"""The colors of all figures: text, grid, lines, classes, better and worse."""

__all__ = [
    'BEST_COLORS',
    'BETTER',
    'BLACK',
    'CLASS_COLORS',
    'COLORS',
    'FAINT',
    'INK',
    'OTHERS',
    'PALE',
    'PAPER',
    'RULE',
    'SHARES',
    'UNDECIDED',
    'VALIDATION',
    'WORSE',
    'WORST_COLORS',
]

INK = '#222222'  # titles, numbers, and the main line of a figure: total loss, mean, reference
FAINT = '#6b6b6b'  # notes and axis labels
PALE = '#a0a0a0'  # what only helps to read a figure: values of helper lines, a border within a matrix
RULE = '#e4e4e4'  # grid and helper lines
OTHERS = '#bec8d2'  # lines too many for a color each
PAPER = '#ffffff'  # background, and the rim of markers
BLACK = '#000000'  # the rim of boxes, visible on every image

# Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, VERMILION, GREEN, PINK = '#0072B2', '#D55E00', '#009E73', '#CC79A7'
ORANGE, SKY, YELLOW = '#E69F00', '#56B4E9', '#F0E442'

# Lines on white, so without yellow; the last four also differ in lightness.
COLORS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, '#8C6D31', '#999999', '#882255', '#332288')
VALIDATION = VERMILION  # the total validation loss, where no other line has this color
BETTER, WORSE, UNDECIDED = BLUE, VERMILION, FAINT  # the verdicts of a comparison
BEST_COLORS, WORST_COLORS = (BLUE, GREEN, SKY), (VERMILION, PINK, ORANGE)  # the best and the worst classes
# Boxes on images. No set this large can be told apart by everybody: beyond the first seven, colors differ in
# lightness, and the class is written on every box.
CLASS_COLORS = (
    *(ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PINK),
    *('#999933', '#882255', '#44AA99', '#332288', '#DDCC77', '#AA4499', '#88CCEE'),
    *('#117733', '#EE8866', '#BBBBBB', '#6699CC', '#AA4466', '#E4E4E4'),
)
SHARES = 'Blues'  # matplotlib's color map for the shares in a matrix, from 0 to 1
