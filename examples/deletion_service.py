"""A service that predicts, and forgets on request: FastAPI around a model that was saved.

    pip install 'expunge[service]'
    python examples/deletion_service.py model.safetensors data.npz

The model is one of ``CertifiedLogisticRegression(...).fit(x, y).save(...)`` with exact noise (no
``random_state``); the data are its ``x`` and ``y``. Whatever goes out is made of the last release: the model
inside, the state of the noise and the rows stay here. Who may ask is for what stands before this to decide.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from expunge import RemovalService
from expunge.core.errors import InvalidValue, UserError, one_line
from expunge.record.requests.journal import RequestTaken


class Removal(BaseModel):
    """Rows of the training data that are to go; asked again with the same ``request`` it is served once."""

    model_config = ConfigDict(extra="forbid")
    request: str
    rows: list[StrictInt] = Field(min_length=1, max_length=100_000)


class Inputs(BaseModel):
    """Rows to predict the classes of."""

    model_config = ConfigDict(extra="forbid")
    rows: list[list[float]] = Field(min_length=1, max_length=100_000)


def create_app(service: RemovalService) -> FastAPI:
    """The HTTP interface of a service.

    Raises:
        InvalidValue: The noise of its model can be drawn again by who knows the seed, or is none.
    """
    noise = getattr(service.model.certificate_.guarantee, "noise", None)
    if noise != "lattice":
        raise InvalidValue("noise", noise, "lattice: perturbation=release and no random_state")
    app = FastAPI(title="expunge")

    @app.get("/health")
    def health() -> dict[str, Any]:
        model = service.model
        account = model.certificate_
        known = {"released": account.released, "epsilon_spent": account.epsilon_spent}
        return {"status": "ok", "rows": int(model.retained_.sum()), **known}

    @app.get("/ledger")
    def ledger() -> list[dict[str, Any]]:
        return [answer.as_json() for answer in service.answers]

    @app.get("/model")
    def release() -> dict[str, Any]:
        model = service.model
        weights = {"coef": model.coef_.tolist(), "intercept": model.intercept_.tolist()}
        return {"classes": model.classes_.tolist(), **weights, "guarantee": model.claim_.guarantee}

    @app.post("/predictions")
    def predictions(inputs: Inputs) -> dict[str, Any]:
        try:
            return {"classes": service.model.predict(inputs.rows).tolist()}
        except ValueError as error:  # scikit-learn's: NaN, too few features
            raise InvalidValue("rows", "other rows", one_line(str(error))) from None

    @app.post("/removals")
    def removals(removal: Removal) -> dict[str, Any]:
        return service.remove(removal.request, removal.rows).as_json()

    @app.exception_handler(UserError)
    def refused(_: Request, error: UserError) -> JSONResponse:
        by_whom = 422 if isinstance(error, InvalidValue) else 503
        return _line(409 if isinstance(error, RequestTaken) else by_whom, str(error))

    @app.exception_handler(RequestValidationError)
    def not_read(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _line(422, f"{'.'.join(map(str, first['loc'][1:])) or 'body'}: {first['msg']}")

    return app


def _line(code: int, text: str) -> JSONResponse:
    return JSONResponse({"detail": one_line(text)}, code)


def main(given: Sequence[str] | None = None) -> None:
    """Serve a model until it is interrupted."""
    parser = argparse.ArgumentParser(description="Predict, and forget on request.")
    parser.add_argument("model", help="a file written by save")
    parser.add_argument("data", help="an .npz file with the x and y of fit")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args(given)
    try:
        with np.load(asked.data) as data, RemovalService(asked.model, data["x"], data["y"]) as service:
            uvicorn.run(create_app(service), host=asked.host, port=asked.port, log_level="warning")
    except (UserError, OSError, KeyError) as error:
        sys.exit(one_line(str(error)))


if __name__ == "__main__":
    main()
