/**
 * Names that attacks on pickle loaders use. The list is for the report only: nothing here is ever called, whatever its name. Gathered from
 * what picklescan, modelscan and fickling look for.
 */

/** Modules of which every name counts, their submodules too. */
const MODULES: ReadonlySet<string> = new Set(
  `_aix_support _osx_support _posixsubprocess _pyrepl aiohttp asyncio bdb cProfile cloudpickle code codeop commands ctypes distutils doctest
  ensurepip fileinput ftplib http httplib idlelib imaplib importlib joblib lib2to3 linecache marshal multiprocessing nntplib nt os pdb pickle
  pip pkg_resources pkgutil platform poplib posix posixpath profile pty pydoc requests requests_toolbelt runpy shelve shutil signal site smtpd
  smtplib socket socketserver ssl subprocess sys telnetlib tempfile test threading timeit trace urllib uuid venv webbrowser winreg wsgiref
  xmlrpc zipimport`.split(/\s+/),
);

/** Single names of modules that are otherwise ordinary. */
const NAMES: ReadonlySet<string> = new Set(
  `builtins.__import__ builtins.apply builtins.breakpoint builtins.compile builtins.delattr builtins.eval builtins.exec builtins.execfile
  builtins.file builtins.getattr builtins.globals builtins.help builtins.input builtins.locals builtins.open builtins.print builtins.raw_input
  builtins.reload builtins.setattr builtins.vars functools.partial functools.reduce io.FileIO io.open io.open_code logging.FileHandler
  logging.config.dictConfig numpy.f2py.crackfortran.getlincoef numpy.load numpy.testing._private.utils.runstring operator.attrgetter
  operator.itemgetter operator.methodcaller torch._dynamo.guards.GuardBuilder.get torch._inductor.codecache.compile_file torch.hub.load
  torch.hub.load_state_dict_from_url torch.jit.load torch.load torch.serialization.load torch.utils._config_module.ConfigModule.load_config
  torch.utils.bottleneck.__main__.run_autograd_prof torch.utils.collect_env.run torch.utils.data.datapipes.utils.decoder.basichandlers
  types.CodeType types.FunctionType`.split(/\s+/),
);

/** Whether a global is one that attacks use. Takes names as Python 3 spells them. */
export function isDangerous(module: string, name: string): boolean {
  const dot = module.indexOf(".");
  return MODULES.has(dot < 0 ? module : module.slice(0, dot)) || NAMES.has(`${module}.${name}`);
}
