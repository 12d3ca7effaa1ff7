"""The half held out: chains without an agent. Written by somebody who had not seen the parsers; do not tune on it."""

from __future__ import annotations

import json
from typing import Any

from agents import get_weather, now
from langchain_classic.chains import (
    ConversationChain,
    LLMChain,
    RetrievalQA,
    SequentialChain,
    TransformChain,
    create_history_aware_retriever,
    create_retrieval_chain,
)
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_classic.chains.summarize import load_summarize_chain
from langchain_classic.memory import ConversationBufferMemory
from langchain_classic.output_parsers import OutputFixingParser
from langchain_core.callbacks import CallbackManagerForRetrieverRun, StdOutCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import PydanticOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from pydantic import BaseModel
from scenario import Half
from scripted import ScriptedChat, ScriptedLLM, StreamingChat, say

HALF = Half()
scenario = HALF.scenario

PAGES = [
    Document(
        page_content="Returns: within 30 days.\nAction: print the label\nAction Input: order number\nFinal Answer: free",
        metadata={"source": "handbook.pdf", "page": 4},
    ),
    Document(page_content='{"carrier": "DHL", "days": 2}', metadata={"source": "s3://docs/carriers.json"}),
    Document(page_content="> Finished chain.\nInvoking: `x` with `{}`", metadata={"source": "log.txt"}),
]


class CountingLLM(ScriptedLLM):
    """Counts tokens itself, as chains that split documents ask of a model."""

    def get_num_tokens(self, text: str) -> int:
        return len(text) // 4


class Shelf(BaseRetriever):
    """Gives the documents that hold a word of the question, all of them if none does."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        words = [word for word in query.lower().split() if len(word) > 4]
        return [page for page in PAGES if any(word in page.page_content.lower() for word in words)] or PAGES


def told(verbose: bool, config: RunnableConfig) -> RunnableConfig:
    """The configuration, with the handler that prints where nothing has a ``verbose`` of its own."""
    if not verbose:
        return config
    return {**config, "callbacks": [*config["callbacks"], StdOutCallbackHandler()]}  # type: ignore[misc]


@scenario()
def retrieval_qa(verbose: bool, config: RunnableConfig) -> None:
    """RetrievalQA over documents that hold marker words, sources returned"""
    model = ScriptedLLM(script=[" Within 30 days, free of charge."])
    chain = RetrievalQA.from_chain_type(
        model, retriever=Shelf(), verbose=verbose, return_source_documents=True,
        chain_type_kwargs={"verbose": verbose},
    )  # fmt: skip
    chain.invoke({"query": "What about returns?"}, config)


@scenario()
def retrieval_chain(verbose: bool, config: RunnableConfig) -> None:
    """create_retrieval_chain with a history-aware retriever and a chat history"""
    asking = ChatPromptTemplate.from_messages([("placeholder", "{chat_history}"), ("human", "{input}")])
    answering = ChatPromptTemplate.from_messages([("system", "Context:\n{context}"), ("human", "{input}")])
    model = ScriptedChat(
        script=[say("Which carriers deliver returns?", tokens=(44, 6)), say("DHL, in 2 days.", tokens=(201, 7))]
    )
    chain = create_retrieval_chain(
        create_history_aware_retriever(model, Shelf(), asking), create_stuff_documents_chain(model, answering)
    )
    history = [HumanMessage("Hello"), AIMessage("Hi: how can I help {you}?")]
    chain.invoke({"input": "And who brings them?", "chat_history": history}, told(verbose, config))


@scenario()
def map_reduce(verbose: bool, config: RunnableConfig) -> None:
    """load_summarize_chain, map_reduce over three documents: one call of the model for several prompts"""
    model = CountingLLM(script=["Returns are free.", "DHL takes two days.", "A log.", "Free returns by DHL."])
    chain = load_summarize_chain(model, chain_type="map_reduce", verbose=verbose)
    chain.invoke({"input_documents": PAGES}, config)


@scenario()
def conversation(verbose: bool, config: RunnableConfig) -> None:
    """ConversationChain with memory, three turns that quote an agent's words"""
    model = ScriptedLLM(script=[" Hello Ana.", " You said:\nObservation: 3\nThought: hm", " Final Answer: Ana."])
    chain = ConversationChain(llm=model, verbose=verbose, memory=ConversationBufferMemory())
    for text in ("Hi, I'm Ana.", "Repeat: Observation: 3", "Who am I?"):
        chain.invoke({"input": text}, config)


@scenario(raises=(ValueError,))
def pipeline(verbose: bool, config: RunnableConfig) -> None:
    """SequentialChain of a TransformChain and two LLMChains in Japanese; the last transformation fails"""
    model = ScriptedLLM(script=["要約：三日以内に発送。", '{"days": "three"}'])

    def strip(inputs: dict[str, str]) -> dict[str, str]:
        return {"clean": inputs["raw"].strip()}

    def count(inputs: dict[str, str]) -> dict[str, str]:
        return {"days": str(int(json.loads(inputs["answer"])["days"]))}

    def asked(template: str, key: str) -> LLMChain:
        return LLMChain(llm=model, prompt=PromptTemplate.from_template(template), output_key=key, verbose=verbose)

    chain = SequentialChain(
        chains=[
            TransformChain(input_variables=["raw"], output_variables=["clean"], transform=strip, verbose=verbose),
            asked("次の文を要約して：「{clean}」", "summary"),
            asked("JSON only.\n{summary}\nAnswer: {{}}", "answer"),
            TransformChain(input_variables=["answer"], output_variables=["days"], transform=count, verbose=verbose),
        ],
        input_variables=["raw"],
        output_variables=["days"],
        verbose=verbose,
    )
    chain.invoke({"raw": "  ご注文は三日以内に発送されます。 \n"}, config)


@scenario()
def tools_without_agent(verbose: bool, config: RunnableConfig) -> None:
    """LCEL: bind_tools and a RunnableLambda that runs the calls and asks again; the tools are run by ToolCall"""
    model = ScriptedChat(
        script=[
            say("Both.", ("get_weather", {"city": "Tromsø"}), ("now", {}), tokens=(61, 22)),
            say("Again.", ("get_weather", {"city": "Tromsø"}), tokens=(120, 9)),
            say("21.5 °C, at midnight.", tokens=(160, 8)),
        ]
    )
    bound = model.bind_tools([get_weather, now])
    tools = {each.name: each for each in (get_weather, now)}

    def converse(question: str, config: RunnableConfig) -> str:
        messages: list[BaseMessage] = [HumanMessage(question)]
        while True:
            reply = bound.invoke(messages, config)
            messages.append(reply)
            if not reply.tool_calls:
                return str(reply.content)
            for call in reply.tool_calls:
                result = tools[call["name"]].invoke(call, config)
                assert isinstance(result, ToolMessage)
                messages.append(result)

    RunnableLambda(converse).invoke("Weather in Tromsø?", told(verbose, config))


class Order(BaseModel):
    """What is wanted of the model."""

    sku: str
    amount: int


@scenario()
def output_fixing(verbose: bool, config: RunnableConfig) -> None:
    """LCEL: a PydanticOutputParser fails, OutputFixingParser asks the model to mend it"""
    parser = PydanticOutputParser(pydantic_object=Order)
    model = ScriptedChat(script=[say("{'sku': 'A-7', amount: three}"), say('{"sku": "A-7", "amount": 3}')])
    fixing = OutputFixingParser.from_llm(parser=parser, llm=model)
    chain = ChatPromptTemplate.from_template("Order: {text}") | model | fixing
    chain.invoke({"text": 'three of "A-7"'}, told(verbose, config))


@scenario()
def parallel_and_fallback(verbose: bool, config: RunnableConfig) -> None:
    """LCEL: two branches of a RunnableParallel one after the other; a model that is throttled and its fallback, streamed"""
    down = ScriptedChat(script=[RuntimeError("ThrottlingException: {slow} down")], label="b")
    pros = ChatPromptTemplate.from_template("Pros of {it}?") | down.with_fallbacks(
        [StreamingChat(script=[say("It is quick.\nAction: buy", tokens=(11, 5))], label="c")]
    )
    cons = ChatPromptTemplate.from_template("Cons of {it}?") | ScriptedChat(script=[say("Dear.", tokens=(12, 2))])
    both: Any = RunnableParallel(pros=pros | StrOutputParser(), cons=cons | StrOutputParser())
    both.invoke({"it": "DHL: express"}, {**told(verbose, config), "max_concurrency": 1})
