"""The pages' text: what stands where. jinja2 fills it in and escapes whatever came from anywhere.

Decides: the order in which a run is told. Refuses to know numbers.
"""

from typing import Final

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
{%- macro picture(each) %}
<figure>
<h3>{{ each.title }}</h3>
{%- if each.legend %}
<ul class="legend">
{%- for label in each.legend %}<li><i class="k{{ loop.index0 }}"></i>{{ label }}</li>{% endfor -%}
</ul>
{%- endif %}
{{ each.svg }}
{%- if each.note %}<p>{{ each.note }}</p>{% endif %}
</figure>
{%- endmacro %}
{%- macro pictures(all) %}
<div class="pair">{% for each in all %}{{ picture(each) }}{% endfor %}</div>
{%- endmacro %}
{%- macro settings(rows, caption) %}
<div class="scroll"><table>
<caption>{{ caption }}</caption>
<tr><th scope="col">setting</th><th scope="col">value</th><th scope="col">what it is</th></tr>
{%- for row in rows %}
<tr><td><code>{{ row.key }}</code></td><td class="set"><code>{{ row.value }}</code></td><td>{{ row.meaning }}</td></tr>
{%- endfor %}
</table></div>
{%- endmacro %}
"""

_FOOT: Final = """
<footer class="end"><p>Chorus: the server hears the chorus, never a voice. This page is one file: it loads nothing
and runs nothing. Written {{ written }}.</p></footer>
</main>
</body>
</html>
"""

REPORT: Final = (
    _HEAD
    + """
<header>
<p class="over">{{ run }} · {{ moment }}</p>
<h1>{{ heading }} <span class="state {{ state.kind }}">{{ state.word }}</span></h1>
<p class="lead">{{ state.sentence }}</p>
<dl class="tiles">
{%- for tile in tiles %}
<div><dt>{{ tile.name }}</dt><dd>{{ tile.value }}{% if tile.note %}<small>{{ tile.note }}</small>{% endif %}</dd></div>
{%- endfor %}
</dl>
</header>
{%- if answers %}
<section><h2>The answers</h2>
<pre><code>{{ answers }}</code></pre>
</section>
{%- endif %}
{%- if quality %}
<section><h2>How good the model is</h2>
{{ pictures(quality) }}
</section>
{%- endif %}
<section><h2>What it reveals</h2>
{%- for sentence in spent.sentences %}
<blockquote><p>{{ sentence }}</p>{% if spent.whose %}<footer>{{ spent.whose }}</footer>{% endif %}</blockquote>
{%- endfor %}
{%- if epsilon %}{{ pictures(epsilon) }}{% endif %}
</section>
{%- if shown %}
<section><h2>What the server saw</h2>
<p>{{ shown_sentence }}</p>
{{ pictures(shown) }}
</section>
{%- endif %}
{%- if traffic %}
<section><h2>What it cost</h2>
{{ pictures(traffic) }}
</section>
{%- endif %}
<section><h2>Who took part</h2>
<div class="pair">
{%- for each in attendance %}{{ picture(each) }}{% endfor %}
<div>
{%- if troubles %}
<h3>What went wrong, and was dealt with</h3>
<ul class="plain">
{%- for at, line in troubles %}<li>{% if at %}round {{ at }} · {% endif %}{{ line }}</li>{% endfor %}
</ul>
{%- if more_troubles %}<p>and {{ more_troubles }} more in events.jsonl</p>{% endif %}
{%- else %}<p>Nobody vanished, nobody was refused.</p>
{%- endif %}
{%- if devices %}<p>{{ devices[0] | upper }}{{ devices[1:] }}.</p>{% endif %}
</div>
</div>
</section>
<section><h2>What now</h2>
{%- for step in steps %}
<p>{{ step.why }}</p>
<pre><code>{{ step.command }}</code></pre>
{%- endfor %}
</section>
<section><h2>How it was set</h2>
{{ settings(changed, "What differs from the defaults; the seed always stands.") }}
<details><summary>All {{ all_settings | length }} settings</summary>
{{ settings(all_settings, "As in config.toml.") }}
</details>
<div class="scroll"><table>
<caption>Versions and the protocol's numbers.</caption>
{%- for name, value in facts %}
<tr><th scope="row">{{ name }}</th><td class="set">{{ value }}</td></tr>
{%- endfor %}
</table></div>
{%- if rounds %}
<details><summary>Every server round in numbers</summary>
<div class="scroll"><table>
<caption>Accuracy and loss are those of the model that came into the round.
{%- if earlier %} The {{ earlier }} rounds before these stand in metrics.jsonl.{% endif %}</caption>
<tr>{% for name in round_columns %}<th scope="col" class="n">{{ name }}</th>{% endfor %}</tr>
{%- for row in rounds %}
<tr>{% for cell in row %}<td class="n">{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table></div></details>
{%- endif %}
</section>
"""
    + _FOOT
)

COMPARISON: Final = (
    _HEAD
    + """
<header>
<p class="over">two runs, side by side: {{ ids[0] }} and {{ ids[1] }}</p>
<h1>{{ names[0] }} and {{ names[1] }}</h1>
</header>
<section>
<div class="scroll"><table>
<caption>Each as it ended.</caption>
<tr><td></td>
{%- for name in names %}
<th scope="col" class="v"><i class="swatch k{{ loop.index0 }}"></i>{{ name }}</th>
{%- endfor %}
</tr>
{%- for row in rows %}
<tr><th scope="row">{{ row.name }}</th>{% for value in row.cells %}<td class="v">{{ value }}</td>{% endfor %}</tr>
{%- endfor %}
</table></div>
</section>
{%- if curves %}
<section><h2>How good the models are</h2>
{{ pictures(curves) }}
</section>
{%- endif %}
<section><h2>What they reveal</h2>
{%- for name, sentences in privacy %}
{%- for sentence in sentences %}
<blockquote><p>{{ sentence }}</p><footer>{{ name }}</footer></blockquote>
{%- endfor %}
{%- endfor %}
</section>
<section><h2>What they were set to</h2>
{%- if differing %}
<div class="scroll"><table>
<caption>Settings that differ.</caption>
<tr><th scope="col">setting</th>{% for name in names %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
{%- for key, values in differing %}
<tr><td><code>{{ key }}</code></td>
{%- for value in values %}<td class="set"><code>{{ value }}</code></td>{% endfor %}</tr>
{%- endfor %}
</table></div>
{%- else %}
<p>Both runs have the same settings.</p>
{%- endif %}
</section>
"""
    + _FOOT
)
