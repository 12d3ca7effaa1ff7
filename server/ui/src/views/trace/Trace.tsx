import { Empty } from "../../shared/states";

export default function TraceView({ id }: { id: string }) {
	return <Empty title={id} />;
}
