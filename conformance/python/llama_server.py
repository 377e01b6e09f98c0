"""A llama.cpp HTTP server that is not ours, from the registry package xllamacpp.

Prints its address and serves until its standard input closes.
"""

import sys

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.model_alias = {sys.argv[2]}
parameters.port = int(sys.argv[3])
parameters.n_parallel = 2
parameters.n_ctx = 8192
parameters.n_gpu_layers = 0
parameters.use_jinja = True
parameters.cpuparams.n_threads = 1
parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
