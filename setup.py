import re
from configparser import ConfigParser
from setuptools import find_namespace_packages, setup
from setuptools.command.editable_wheel import editable_wheel

# All metadata is in settings.ini; edit there, not here
cfg = ConfigParser(delimiters=['='])
cfg.read('settings.ini', encoding='utf-8')
cfg = cfg['DEFAULT']
extras = {k: cfg[f'{k}_requirements'].split() for k in ('train', 'qlora', 'lab', 'ray')}
urls = dict(Repository=cfg['git_url'], Documentation=cfg['doc_host']+cfg['doc_baseurl']) if cfg['user'] else {}
readme = open('README.md', encoding='utf-8').read()
if urls: # pictures and links to files, as the package index needs them
    readme = re.sub(r'((?:src|srcset)="|!\[[^]]*\]\()(?!https?:)', rf'\1{cfg["git_url"]}/raw/{cfg["branch"]}/', readme)
    readme = re.sub(r'(?<!!)(\[[^]]*\]\()(?!https?:|#)', rf'\1{cfg["git_url"]}/blob/{cfg["branch"]}/', readme)
extras['dev'] = cfg['dev_requirements'].split() + extras['train'] + extras['lab'] + extras['ray']

class Editable(editable_wheel):
    "`pip install -e .` puts the folder on the path, where type checkers and editors find the package, too"
    def initialize_options(self):
        super().initialize_options()
        self.mode = 'compat'

setup(
    description=cfg['description'], keywords=cfg['keywords'].split(),
    author=cfg['author'], project_urls=urls,
    python_requires='>='+cfg['min_python'],
    packages=find_namespace_packages(include=[cfg['lib_path']+'*'], exclude=['*.__pycache__*']),
    package_data={cfg['lib_path']: ['py.typed', '*/*.json', '*/*.txt', '*/static/*']},
    install_requires=[*cfg['requirements'].split(), cfg['engine_requirement']], extras_require=extras,
    long_description=readme, long_description_content_type='text/markdown',
    cmdclass={'editable_wheel': Editable},
    entry_points=dict(console_scripts=cfg['console_scripts'].split(),
                      nbdev=[f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]))
