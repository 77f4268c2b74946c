"Text that tries to be more than text"
PWN = 'window.__pwn=1'
MARKUP = [
    f'<img src=x onerror="{PWN}">', f"<img src=x onerror='{PWN}'>", f'<img/src=x onerror={PWN}>', f'<script>{PWN}</script>', f'</script><script>{PWN}</script>', f'<svg onload={PWN}>',
    f'<svg><script>{PWN}</script></svg>', f'<body onload={PWN}>', f'<iframe src="javascript:{PWN}"></iframe>', '<iframe srcdoc="<script>parent.__pwn=1</script>">', f'<a href="javascript:{PWN}">x</a>',
    f'<details open ontoggle={PWN}>', f'<video><source onerror={PWN}></video>', f'<input autofocus onfocus={PWN}>', f'<select autofocus onfocus={PWN}>', f'<math><mi xlink:href="javascript:{PWN}">', f'<object data="javascript:{PWN}">',
    f'<embed src="javascript:{PWN}">', f'<form action="javascript:{PWN}"><button>go</button></form>', f'<meta http-equiv=refresh content="0;url=javascript:{PWN}">', '<base href="http://example.org/">', '<link rel=stylesheet href="http://example.org/x.css">',
    '<style>* { display: none !important }</style>', '<plaintext>', '<noscript><p title="</noscript><img src=x onerror=window.__pwn=1>">', f'" onmouseover="{PWN}', f"' onfocus='{PWN}", f'"><img src=x onerror={PWN}>', f'`{PWN}`', '</pre><h1>out</h1>',
    '</td></tr></table><h1>out</h1>', '</textarea><h1>out</h1>', '</title><h1>out</h1>', '<!-- a comment', '-->', '<![CDATA[ x ]]>', '<?xml version="1.0"?>', '&lt;img src=x onerror=window.__pwn=1&gt;', '&#60;script&#62;', '&amp;amp;', '{{constructor.constructor("window.__pwn=1")()}}', '${window.__pwn=1}', '<%= 1 %>', '<b>bold</b>', '<table><tr><td>', '<marquee>', f'javascript:{PWN}', 'data:text/html,<script>window.__pwn=1</script>']
MATHS = ['$x$', '$$x^2$$', 'it costs $5 and $6', '\\(x\\)', '\\[x\\]', '\\begin{equation}x\\end{equation}', '$\\frac{1}{0}$', '$\\unknowncommand{', '\\$', '$', 'from $5 to $6 or \\$7', '$$', '$a$b$c$', '\\(', '\\begin{align}', '\\end{align}', '\\\\(x\\\\)', '\\ref{a}', '$`x`$', '```math\nx\n```']
TERMINAL = ['\x1b[31mred\x1b[0m', '\x1b]0;title\x07', '\x1b[2J\x1b[H', '\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\', '\x9b31m', '\r\x1b[Kgone', '\x08\x08\x08', '\x07', '\x7f', '\x00', '\x0b\x0c', '\x1b[?1049h', '\x85']
DIRECTION = ['\u202eright to left\u202c', '\u2066isolated\u2069', '\u200fmark', '\u202a\u202b\u202d', 'שלום עולם', 'مرحبا ٣', '\ufeffmarked', '\u2067isolated\u2069', '\u2068first\u2069', '\u061c', '\u200e\u200e', 'a\u202eb\u202ec', 'עברית (a) 1+1']
SHAPES = ['👩\u200d👩\u200d👧', '\u200d', '\u200b\u200b', '\u2060', 'e'+'\u0301'*50, '\u0301', '\u2028', '\u2029', '\u00ad', '\u3164', '𓀀', '\U000e0041', '|', '-', '=1+1', 'a'*5000, ' '*500, '\n'*50, '\t'*50]
ALL = MARKUP+MATHS+TERMINAL+DIRECTION+SHAPES
