from configparser import ConfigParser
from setuptools import find_packages, setup
from setuptools.command.editable_wheel import editable_wheel

# All metadata is in settings.ini; edit there, not here
cfg = ConfigParser(delimiters=['='])
cfg.read('settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
extras = {k: cfg[f'{k}_requirements'].split() for k in ('train', 'qlora', 'lab', 'ray')}
extras['dev'] = cfg['dev_requirements'].split() + extras['train'] + extras['lab']

class Editable(editable_wheel):
    "`pip install -e .` puts the folder on the path, where type checkers and editors find the package, too"
    def initialize_options(self):
        super().initialize_options()
        self.mode = 'compat'

setup(
    version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    author=cfg['author'], author_email=cfg['author_email'],
    python_requires='>='+cfg['min_python'], packages=find_packages(include=[cfg['lib_path']+'*']),
    package_data={cfg['lib_path']: ['py.typed', '*/*.json', '*/*.txt', '*/static/*']},
    install_requires=[*cfg['requirements'].split(), cfg['engine_requirement']], extras_require=extras,
    long_description=open('README.md', encoding='utf-8').read(), long_description_content_type='text/markdown',
    cmdclass={'editable_wheel': Editable},
    entry_points=dict(console_scripts=cfg['console_scripts'].split(),
                      nbdev=[f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]))
